"""Places a stranger gives: outputs that cannot be written or would delete an input, inputs that cannot be read."""

import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from samples import text_sample

from sphinx_data import open_dataset, storage
from sphinx_data.dataset.verify import verify
from sphinx_data.errors import InputError
from sphinx_data.executors import build, plan
from sphinx_data.sample import Built, Struct

DATA = Path(__file__).parents[1] / "data"
DOCUMENTS = Path(__file__).parents[2] / "recipes/demo/data/documents"
MAIN = [sys.executable, "-c", "from sphinx_data.cli import main; main()"]


class Name(Struct, frozen=True):
    """A record, and options."""

    name: str


def run(*arguments: object, cwd: Path, **options) -> tuple[int, str]:
    done = subprocess.run(
        [*MAIN, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def rejects(out: Path) -> dict[str, str]:
    rows = [row for file in sorted(out.glob("rejects/*.parquet")) for row in pq.read_table(file).to_pylist()]
    return {row["input"]: row["rule"] for row in rows}


@pytest.fixture
def signs(tmp_path) -> Path:
    shutil.copytree(DATA / "imagefolder", tmp_path / "signs")
    return tmp_path


@pytest.mark.parametrize(
    ("out", "message"),
    [("file", "is a file"), ("file/below", "Not a directory"), ("", "--out is empty"), ("s3://bucket/x", "URLs")],
)
def test_an_output_that_cannot_be_is_one_sentence(out, message, signs):
    (signs / "file").write_bytes(b"mine")
    status, said = run("convert", "signs", "--format", "imagefolder", "--out", out, cwd=signs)
    assert (status, message in said, said.count("\n")) == (2, True, 1), said
    assert (signs / "file").read_bytes() == b"mine"
    assert not (signs / "s3:").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_is_one_sentence_and_the_build_goes_on_later(workers, tmp_path):
    shutil.copytree(DOCUMENTS, tmp_path / "pdf")
    command = ["build-ocr", "pdf", "--name", "x", "--workers"]

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))  # as a full disk, for whoever is not root too

    status, said = run(*command, workers, "--out", "out", cwd=tmp_path, preexec_fn=little_room)
    assert status == 1
    assert "cannot be written (File too large); make room" in said
    assert run(*command, workers, "--out", "out", cwd=tmp_path)[0] == 0
    assert run(*command, "1", "--out", "calm", cwd=tmp_path)[0] == 0
    assert subprocess.run(["diff", "-r", tmp_path / "out", tmp_path / "calm"], check=False).returncode == 0


def test_overwrite_never_deletes_what_is_read(tmp_path):
    shutil.copytree(DATA / "coco", tmp_path / "coco")
    made = ["--annotations", "coco/person_keypoints.json", "--format", "coco", "--out", "marks"]
    assert run("build-som", *made, cwd=tmp_path)[0] == 0
    before = sorted(tmp_path.rglob("*"))
    status, said = run("build-som", "marks", "--out", "marks", "--overwrite", cwd=tmp_path)
    assert (status, "would delete" in said) == (2, True)
    (tmp_path / "link").symlink_to("marks")
    assert run("build-som", "link", "--out", "marks", "--overwrite", cwd=tmp_path)[0] == 2
    (tmp_path / "link").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_second_of_two_processes_finds_the_work_done(tmp_path):
    """One that completes the dataset clears unfinished files away; the other must not call that an error."""
    options = Name(name="options")
    out = str(tmp_path / "out")
    made = plan.make(
        out, builder="b", name="n", parameters=options, inputs=[], records=[options], weight=lambda record: 1
    )
    others = []

    def another() -> None:  # of another thread, so that its temporary files have names of their own
        others.append(build.run(out, made, build.Task(produce, Name, options, {}), build.Settings()))

    def produce(record, options, places):
        yield Built(text_sample("a", 0), ())
        if threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=another)
            thread.start()
            thread.join()

    found = build.run(out, made, build.Task(produce, Name, options, {}), build.Settings())
    assert others == [found]
    assert found.samples == 1
    assert list(verify(open_dataset(out))) == []
    assert not list(Path(out).rglob(".tmp-*"))


def test_links_are_followed_and_what_cannot_be_read_is_a_reject(signs):
    folder = signs / "signs"
    label = next(place for place in sorted(folder.iterdir()) if place.is_dir())
    pictures = [place for place in label.iterdir() if place.suffix.lower() in (".jpg", ".png")]
    (folder / "linked").symlink_to(label)
    (label / "up").symlink_to(folder)
    (label / "nowhere.jpg").symlink_to("nothing.jpg")
    os.mkfifo(label / "pipe.jpg")
    assert run("convert", "signs", "--format", "imagefolder", "--out", "out", cwd=signs)[0] == 0
    found = rejects(signs / "out")
    for name in (label.name, "linked"):
        assert found[f"{name}/nowhere.jpg"] == found[f"{name}/pipe.jpg"] == "image-missing"
    listed = [name for name, _ in storage.list_files(folder)]
    assert {f"linked/{picture.name}" for picture in pictures} <= set(listed)
    assert not any("/up/" in name for name in listed)


def test_pdfs_that_cannot_be_read_say_why(tmp_path):
    (tmp_path / "pdf").mkdir()
    (tmp_path / "pdf/nowhere.pdf").symlink_to("nothing.pdf")
    os.mkfifo(tmp_path / "pdf/pipe.pdf")
    shutil.copy(next(DOCUMENTS.glob("*.pdf")), os.fsencode(tmp_path / "pdf") + b"/bad\xff.pdf")
    assert run("build-ocr", "pdf", "--out", "out", cwd=tmp_path)[0] == 0
    assert rejects(tmp_path / "out") == {
        "bad\\xff.pdf": "name-not-utf8", "nowhere.pdf": "file-unreadable", "pipe.pdf": "file-unreadable"
    }  # fmt: skip


@pytest.fixture
def unprivileged():
    """Root reads everything; without these two capabilities it is refused as anyone."""
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    if os.geteuid():
        return []
    if not shutil.which("setpriv") or subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("root, and its rights cannot be taken away")
    return command


def test_what_may_not_be_read_is_never_skipped(unprivileged, signs):
    folder = signs / "signs"
    label = next(place for place in sorted(folder.iterdir()) if place.is_dir())
    picture = sorted(place for place in label.iterdir() if place.suffix.lower() in (".jpg", ".png"))[0]
    command = [*unprivileged, *MAIN, "convert", "signs", "--format", "imagefolder", "--out"]
    picture.chmod(0)
    done = subprocess.run([*command, "out"], cwd=signs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rejects(signs / "out")[f"{label.name}/{picture.name}"] == "image-unreadable"
    label.chmod(0)
    done = subprocess.run([*command, "other"], cwd=signs, capture_output=True, text=True, check=False)
    label.chmod(0o755)
    assert (done.returncode, "cannot be listed (Permission denied)" in done.stderr) == (3, True)


def test_a_folder_that_is_not_there_cannot_be_listed(tmp_path):
    with pytest.raises(InputError, match="cannot be listed"):
        list(storage.list_files(tmp_path / "nothing"))


def test_a_key_below_a_value_is_refused_by_name(signs):
    status, said = run("build-ocr", "signs", "--out", "out", "--set", "split.x=3", cwd=signs)
    assert (status, "split is one value" in said) == (2, True)


def test_a_plan_whose_bytes_are_not_utf8_is_damaged(signs):
    (signs / "out").mkdir()
    (signs / "out/plan.json").write_bytes(b'{"builder": "\xe9"}')
    status, said = run("convert", "signs", "--format", "imagefolder", "--out", "out", cwd=signs)
    assert (status, "plan.json: damaged" in said) == (3, True)
