"""Builds that are killed, repeated, spread and refused; the step is a real converter on real files."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
DOCUMENTS = Path(__file__).parents[2] / "recipes/demo/data/documents"
COMMANDS = {
    "convert": ["convert", "signs", "--format", "imagefolder"],
    "build-ocr": ["build-ocr", "pdf"],
    "build-som": ["build-som", "--annotations", "coco/person_keypoints.json", "--format", "coco"],
}


def digest(place: Path) -> dict[str, str]:
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def sphinx_data(*arguments: str, cwd: Path, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", "from sphinx_data.cli import main; main()", *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def inputs(tmp_path):
    """Real files, some of them often, so that there are several parts and some are rejected."""
    root = tmp_path / "in"
    for copy in range(8):
        shutil.copytree(DATA / "imagefolder", root / "signs" / f"round{copy}")
        if copy < 3:
            shutil.copytree(DOCUMENTS, root / "pdf" / f"round{copy}")
    (root / "signs/round0/broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    shutil.copytree(DATA / "coco", root / "coco")
    return root


@pytest.mark.parametrize("command", COMMANDS)
def test_one_worker_and_two_give_equal_bytes(command, inputs, tmp_path):
    for workers in ("1", "2"):
        code, _, err = finish(
            sphinx_data(*COMMANDS[command], "--out", tmp_path / f"w{workers}" / "out", "--workers", workers, cwd=inputs)
        )
        assert code == 0, err
    assert digest(tmp_path / "w1/out") == digest(tmp_path / "w2/out")
    assert len(json.loads((tmp_path / "w1/out/plan.json").read_text())["parts"]) > 1 or command == "build-som"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_build_killed_at_random_moments_ends_with_the_bytes_of_an_undisturbed_one(command, inputs, tmp_path):
    started = time.monotonic()
    code, _, err = finish(sphinx_data(*COMMANDS[command], "--out", tmp_path / "calm/out", "--workers", "2", cwd=inputs))
    assert code == 0, err
    length = time.monotonic() - started
    chance = random.Random(command)
    killed, kills = tmp_path / "killed/out", 0
    for _ in range(40):
        process = sphinx_data(*COMMANDS[command], "--out", killed, "--workers", "2", cwd=inputs)
        try:
            process.wait(timeout=chance.uniform(0.2, 0.9) * length)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        if kills >= 4:
            break
        if (killed / "dataset.json").exists():  # it was faster than its killer: again from nothing
            shutil.rmtree(killed)
    assert kills
    if not (killed / "dataset.json").exists():
        code, _, err = finish(sphinx_data(*COMMANDS[command], "--out", killed, cwd=inputs))
        assert code == 0, err
    assert digest(killed) == digest(tmp_path / "calm/out")


def test_partitions_build_their_shares_and_the_last_one_completes_the_dataset(inputs, tmp_path):
    whole = COMMANDS["convert"]
    assert finish(sphinx_data(*whole, "--out", tmp_path / "whole/out", cwd=inputs))[0] == 0
    shares = [
        sphinx_data(*whole, "--out", tmp_path / "shared/out", "--partition", f"{n}/3", "--json", cwd=inputs)
        for n in range(3)
    ]
    results = [finish(process) for process in shares]
    assert [code for code, _, _ in results] == [0, 0, 0], results
    assert any(json.loads(out)["complete"] for _, out, _ in results)
    assert digest(tmp_path / "shared/out") == digest(tmp_path / "whole/out")


def interrupted(inputs: Path, out: Path, *arguments: str) -> None:
    """A build of which only half the parts are there."""
    half = sphinx_data(*COMMANDS["convert"], "--out", out, "--partition", "0/2", *arguments, cwd=inputs)
    assert finish(half)[0] == 0
    assert not (out / "dataset.json").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [(["--split", "val"], "split = 'train', this run has 'val'"), (["--seed", "7"], "seed = 0, this run has 7")],
)
def test_other_parameters_on_an_unfinished_directory_are_refused_by_name(change, named, inputs, tmp_path):
    interrupted(inputs, tmp_path / "out")
    code, _, err = finish(sphinx_data(*COMMANDS["convert"], "--out", tmp_path / "out", *change, cwd=inputs))
    assert code == 2
    assert named in err
    assert err.count("\n") == 1


def test_changed_input_on_an_unfinished_directory_is_refused_by_name(inputs, tmp_path):
    interrupted(inputs, tmp_path / "out")
    with (inputs / "signs/round1/0/IMG_1118.JPG").open("ab") as file:
        file.write(b"more")
    code, _, err = finish(sphinx_data(*COMMANDS["convert"], "--out", tmp_path / "out", cwd=inputs))
    assert code == 2
    assert "round1/0/IMG_1118.JPG" in err


def test_a_complete_dataset_is_refused_unless_overwritten(inputs, tmp_path):
    command = [*COMMANDS["convert"], "--out", tmp_path / "out"]
    assert finish(sphinx_data(*command, cwd=inputs))[0] == 0
    code, _, err = finish(sphinx_data(*command, cwd=inputs))
    assert code == 2
    assert "is a complete dataset already; use another --out or --overwrite" in err
    assert finish(sphinx_data(*command, "--overwrite", cwd=inputs))[0] == 0


def test_a_folder_of_other_files_is_never_touched(inputs, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("years of work")
    for flags in ([], ["--overwrite"]):
        code, _, err = finish(sphinx_data(*COMMANDS["convert"], "--out", tmp_path / "out", *flags, cwd=inputs))
        assert code == 2
        assert "holds files that are not a dataset" in err
    assert (tmp_path / "out/thesis.txt").read_text() == "years of work"


def test_more_rejects_than_allowed_is_status_4_and_the_dataset_is_there(inputs, tmp_path):
    code, _, err = finish(
        sphinx_data(*COMMANDS["convert"], "--out", tmp_path / "out", "--max-rejects", "0", cwd=inputs)
    )
    assert code == 4
    assert "1 rejects, --max-rejects allows 0" in err
    assert (tmp_path / "out/dataset.json").exists()


def test_an_interrupt_is_status_130_and_the_build_goes_on_later(inputs, tmp_path):
    code, err = 0, ""
    for _ in range(20):
        process = sphinx_data(*COMMANDS["build-ocr"], "--out", tmp_path / "out", "--workers", "1", cwd=inputs)
        while not (tmp_path / "out/index").exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        code, _, err = finish(process)
        if code:
            break
        shutil.rmtree(tmp_path / "out")  # it was faster than the signal
    assert code == 130, err
    assert "run the same command again to go on" in err
    assert "Traceback" not in err
    assert finish(sphinx_data(*COMMANDS["build-ocr"], "--out", tmp_path / "out", cwd=inputs))[0] == 0


def test_workers_end_with_a_killed_parent(inputs, tmp_path):
    process = sphinx_data(*COMMANDS["build-ocr"], "--out", tmp_path / "out", "--workers", "2", cwd=inputs)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers: list[str] = []
    while process.poll() is None and len(workers) < 2:
        found = children.read_text().split() if children.exists() else []
        workers = [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(workers) == 2
    for _ in range(200):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.05)
    else:
        pytest.fail("workers outlived their parent by ten seconds")


def test_a_worker_that_dies_costs_a_retry_not_the_run(inputs, tmp_path):
    process = sphinx_data(*COMMANDS["build-ocr"], "--out", tmp_path / "out", "--workers", "2", cwd=inputs)
    killed = False
    while process.poll() is None and not killed:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for child in children.read_text().split() if children.exists() else []:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                time.sleep(0.5)
                os.kill(int(child), signal.SIGKILL)
                killed = True
                break
        time.sleep(0.01)
    code, _, err = finish(process)
    assert code == 0, err
    assert killed
