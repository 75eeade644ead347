"""The command: an order priced, fetched, checked, repaired, converted; with a catalogue of its own."""

import gzip
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hub_server import COMMIT, hub
from samples import png
from web_server import Page, WebServer

from sphinx_data import open_dataset
from sphinx_data.cli import group, run
from sphinx_data.sources import catalogue, order

TABLE = random.Random(0).randbytes(50_000)
LARGE = random.Random(1).randbytes(20_000_000)
HEAD = {
    "title": "T", "about": "A.", "homepage": "https://example.org", "license": "CC-BY-4.0", "commercial": True,
    "redistribute": True, "domain": "vision", "tasks": ["classification"], "read": {"license": "made up"},
}  # fmt: skip


def archive(files: dict[str, bytes]) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    return found.getvalue()


PHOTOS = archive({f"photos/{kind}/{n}.png": png((n, 9, len(kind))) for kind in ("cat", "dog") for n in range(3)})


@pytest.fixture(autouse=True)
def own_catalogue(tmp_path, monkeypatch):
    (tmp_path / "catalog").mkdir()
    monkeypatch.setattr(catalogue, "_folder", lambda: tmp_path / "catalog")
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")


@pytest.fixture
def entry(tmp_path):
    def write(name: str, **fields) -> None:
        (tmp_path / "catalog" / f"{name}.yaml").write_text(yaml.safe_dump(HEAD | fields))

    return write


@pytest.fixture
def data(tmp_path, capsys):
    """Runs sphinx-data; gives status, standard output and standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        where = ["--root", str(tmp_path / "root")] if "--root" not in words else []
        status = run(group, [*words, *where], "sphinx-data")
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def download(data, *words: str) -> tuple[int, str, str]:
    return data("download", *words, "--allow-private", "--tries", "2", "--timeout", "2")


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_source_and_what_it_needs_are_fetched_once(tmp_path, entry, data):
    with WebServer({"/t.tsv": Page(TABLE), "/p.zip": Page(PHOTOS)}) as server:
        entry("photos", files=[{"url": f"{server.url}/p.zip", "unpack": "in", "size": len(PHOTOS)}])
        entry("questions", needs=["photos"], files=[{"url": f"{server.url}/t.tsv?x=1", "to": "sub/table.tsv"}])
        status, out, err = download(data, "questions")
        assert (status, err.count("\n") <= 1) == (0, True), err
        root = tmp_path / "root"
        assert (root / "questions/sub/table.tsv").read_bytes() == TABLE
        assert files_below(root / "photos/in") == {f"photos/{k}/{n}.png" for k in ("cat", "dog") for n in range(3)}
        asked = len(server.asked)
        status, out, _ = download(data, "questions", "--json")
        assert len(server.asked) == asked
    found = {each["name"]: each for each in json.loads(out)["sources"]}
    assert [(found[n]["fetched"], found[n]["kept"], found[n]["unpacked"]) for n in ("photos", "questions")] == [
        (0, 1, 0), (0, 1, 0),
    ]  # fmt: skip
    receipt = json.loads((root / "questions/download.json").read_text())
    assert receipt["files"]["sub/table.tsv"]["size"] == len(TABLE)
    assert not list(root.rglob("*.part*"))


def test_a_dry_run_prices_the_order_and_asks_nobody(tmp_path, entry, data):
    steps = ("Write to the authors.", "Put images.zip here.")
    entry("a", files=[{"url": "http://127.0.0.1:1/x", "size": 5_000_000}], manual=list(steps), image_license="owners'")
    entry("b", files=[{"url": "http://127.0.0.1:1/y"}], needs=["a"], license="MIT",
          hub=[{"repository": "own/set", "size": 7_000_000, "gated": True}])  # fmt: skip
    status, out, _ = data("download", "b", "--dry-run")
    assert status == 0
    for words in (*steps, "5.0 MB", "7.0 MB, 1 part of unknown size", "licence: MIT", "pictures: owners'", "own/set",
                  "HF_TOKEN", "to fetch: 12.0 MB known and 1 part of unknown size", "free on the disk"):  # fmt: skip
        assert words in out, words
    assert not (tmp_path / "root").exists()
    status, out, _ = data("download", "b", "--dry-run", "--json")
    assert json.loads(out)["missing"] == 12_000_000


def test_more_than_the_disk_holds_is_refused_before_the_start(entry, data):
    entry("huge", files=[{"url": "http://127.0.0.1:1/x", "size": 10**18}])
    for words in ((), ("--dry-run",)):
        status, _, err = data("download", "huge", *words)
        assert (status, "1,000,000.0 TB are to be fetched" in err) == (1, True)


def test_splits_choose_files(tmp_path, entry, data):
    with WebServer({"/train": Page(b"1"), "/val": Page(b"2"), "/all": Page(b"3")}) as server:
        entry("s", files=[{"url": f"{server.url}/{n}", **({"split": n} if n != "all" else {})}
                          for n in ("train", "val", "all")])  # fmt: skip
        assert download(data, "s", "--split", "val")[0] == 0
        assert files_below(tmp_path / "root/s") - {".download/lock"} == {"val", "all", "download.json"}
        status, _, err = download(data, "s", "--split", "test")
    assert (status, "--split test" in err, "train, val" in err) == (2, True, True)


def test_what_fails_is_told_and_the_rest_is_fetched(tmp_path, entry, data):
    with WebServer({"/b": Page(b"2")}) as server:
        entry("s", files=[{"url": f"{server.url}/a"}, {"url": f"{server.url}/b"}])
        status, _, err = download(data, "s")
        assert (status, "status 404" in err, "not there any more" in err) == (3, True, True)
        assert (tmp_path / "root/s/b").read_bytes() == b"2"
        server.pages["/a"] = Page(b"1")
        assert download(data, "s")[0] == 0
        assert [path for path, _ in server.asked].count("/b") == 1


def test_damage_is_found_and_repaired(tmp_path, entry, data):
    table = gzip.compress(TABLE)
    with WebServer({"/t.gz": Page(table), "/p.zip": Page(PHOTOS)}) as server:
        entry("s", files=[{"url": f"{server.url}/t.gz"}, {"url": f"{server.url}/p.zip", "unpack": "."}])
        assert download(data, "s")[0] == 0
        folder = tmp_path / "root/s"
        damaged = bytearray(table)
        damaged[1000] ^= 1
        (folder / "t.gz").write_bytes(damaged)
        (folder / "photos/cat/1.png").write_bytes(b"other")
        status, out, err = download(data, "s", "--verify", "--json")
        assert status == 0, err
        assert (folder / "t.gz").read_bytes() == table
        assert (folder / "photos/cat/1.png").read_bytes() == png((1, 9, 3))
        (found,) = json.loads(out)["sources"]
        assert (found["fetched"], found["kept"], found["unpacked"], len(found["damaged"])) == (1, 1, 1, 2)
        assert json.loads(download(data, "s", "--verify", "--json")[1])["sources"][0]["damaged"] == []


def test_removed_archives_are_not_missed(tmp_path, entry, data):
    with WebServer({"/p.zip": Page(PHOTOS)}) as server:
        entry("s", files=[{"url": f"{server.url}/p.zip", "unpack": "."}])
        assert download(data, "s", "--remove-archives")[0] == 0
        assert not (tmp_path / "root/s/p.zip").exists()
        assert download(data, "s", "--verify")[0] == 0
        assert len(server.asked) == 1
        (tmp_path / "root/s/photos/cat/1.png").unlink()
        assert download(data, "s", "--verify", "--remove-archives")[0] == 0
        assert (tmp_path / "root/s/photos/cat/1.png").exists()


def test_a_file_put_there_by_hand_is_taken(tmp_path, entry, data):
    entry(
        "s", files=[{"url": "http://127.0.0.1:1/t", "size": 5, "checksum": f"md5:{hashlib.md5(b'right').hexdigest()}"}]
    )
    (tmp_path / "root/s").mkdir(parents=True)
    (tmp_path / "root/s/t").write_bytes(b"right")
    assert download(data, "s")[0] == 0
    assert download(data, "s", "--verify")[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("phtos",), 2, "did you mean photos?"),
        ((), 2, "give NAMEs of sources"),
        (("photos", "--urls", "x"), 2, "one of the two"),
        (("photos", "--url-column", "x"), 2, "goes with --urls"),
        (("--urls", "nothing.csv"), 3, "is not there"),
        (("evil",), 2, "needs a relative `to`"),
    ],
)
def test_wrong_words_are_one_sentence(entry, data, words, status, says):
    entry("photos", files=[])
    entry("evil", files=[{"url": "https://example.org/x", "to": "../../x"}])
    found, _, err = data("download", *words)
    assert (found, says in err, err.count("\n")) == (status, True, 1), err


def test_two_downloads_into_one_folder_do_not_mix(tmp_path, entry, data):
    entry("s", files=[{"url": "http://127.0.0.1:1/t"}])
    with order.receipt.locked(str(tmp_path / "root/s")):
        status, _, err = download(data, "s")
    assert (status, "another download" in err) == (2, True)


# --- the Hub


HUB = {"data/a.parquet": TABLE, "data/b.parquet": TABLE[::-1], "README.md": b"# Set", "in.zip": PHOTOS}


def test_files_of_a_repository_are_pinned_and_chosen(tmp_path, entry, data):
    with hub(HUB) as server:
        entry("h", hub=[{"repository": "own/set", "revision": COMMIT, "patterns": ["data/*.parquet"]}])
        status, _, err = download(data, "h", "--endpoint", server.url)
        assert status == 0, err
        folder = tmp_path / "root/h"
        assert {n for n in files_below(folder) if not n.startswith(".")} == {
            "data/a.parquet", "data/b.parquet", "download.json",
        }  # fmt: skip
        assert (folder / "data/b.parquet").read_bytes() == TABLE[::-1]
        asked = len(server.asked)
        assert download(data, "h", "--endpoint", server.url)[0] == 0
        assert len(server.asked) == asked
        (folder / "data/a.parquet").write_bytes(TABLE[1:] + b"x")
        assert download(data, "h", "--endpoint", server.url, "--verify")[0] == 0
        assert (folder / "data/a.parquet").read_bytes() == TABLE
    assert json.loads((folder / "download.json").read_text())["files"]["data/a.parquet"]["revision"] == COMMIT


def test_the_newest_revision_is_noted_and_archives_are_unpacked(tmp_path, entry, data):
    with hub(HUB) as server:
        entry("h", hub=[{"repository": "own/set", "to": "repo", "unpack": {"*.zip": "pictures"}}])
        assert download(data, "h", "--endpoint", server.url, "--remove-archives")[0] == 0
        asked = len(server.asked)
        assert download(data, "h", "--endpoint", server.url)[0] == 0
        assert len(server.asked) == asked
    folder = tmp_path / "root/h"
    assert (folder / "repo/README.md").read_bytes() == b"# Set"
    assert (folder / "pictures/photos/cat/0.png").exists()
    assert not (folder / "repo/in.zip").exists()
    assert json.loads((folder / "download.json").read_text())["repositories"]["datasets/own/set"]["revision"] == COMMIT


def test_wrong_bytes_of_a_repository_are_fetched_again(tmp_path, entry, data):
    spoilt = []

    def spoil(number: int, body: bytes) -> bytes:
        if body == TABLE and number == 1:  # the first GET, after a HEAD
            spoilt.append(number)
            return TABLE[::-1]
        return body

    with hub({"a.bin": TABLE}, spoil=spoil) as server:
        entry("h", hub=[{"repository": "own/set", "revision": COMMIT}])
        status, _, err = download(data, "h", "--endpoint", server.url)
    assert (status, spoilt) == (0, [1]), err
    assert (tmp_path / "root/h/a.bin").read_bytes() == TABLE


def test_gated_repositories_say_what_to_do(entry, data, monkeypatch):
    with hub(HUB, token="right") as server:
        entry("h", hub=[{"repository": "own/set", "revision": COMMIT, "gated": True}])
        status, _, err = download(data, "h", "--endpoint", server.url)
        assert (status, "gated" in err, "needs a token" in err, "HF_TOKEN" in err) == (3, True, True, True), err
        monkeypatch.setenv("HF_TOKEN", "wrong")
        status, _, err = download(data, "h", "--endpoint", server.url)
        assert (status, "has not accepted its terms" in err) == (3, True), err
        monkeypatch.setenv("HF_TOKEN", "right")
        assert download(data, "h", "--endpoint", server.url)[0] == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"repository": "own/nothing"}, "is not there"),
        ({"repository": "own/set", "patterns": ["*.gone"]}, "has no file like"),
        ({"repository": "not a name"}, "is no name of a repository"),
    ],
)
def test_repositories_that_are_not_there(entry, data, fields, says):
    with hub(HUB) as server:
        entry("h", hub=[fields])
        status, _, err = download(data, "h", "--endpoint", server.url)
    assert (status, says in err) == (3, True), err


def test_nobody_answers_for_the_hub(entry, data):
    with WebServer() as server:
        url = server.url
    entry("h", hub=[{"repository": "own/set", "revision": COMMIT}])
    status, _, err = download(data, "h", "--endpoint", url)
    assert (status, "run the same command again" in err) == (3, True), err


def test_killed_at_any_moment_the_order_is_completed(tmp_path, entry, data):
    chance = random.Random(5)
    with WebServer({"/l": Page(LARGE, slow=0.05), "/p.zip": Page(PHOTOS)}) as server:
        entry("s", files=[{"url": f"{server.url}/l"}, {"url": f"{server.url}/p.zip", "unpack": "."}])
        code = f"""
from pathlib import Path
from sphinx_data.cli import group, run
from sphinx_data.sources import catalogue
catalogue._folder = lambda: Path({str(tmp_path / "catalog")!r})
run(group, ["download", "s", "--root", {str(tmp_path / "root")!r}, "--allow-private"], "x")
"""
        for _ in range(5):
            process = subprocess.Popen([sys.executable, "-c", code], stdout=-3, stderr=-3)
            time.sleep(chance.uniform(0.3, 1.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
        status, _, err = download(data, "s", "--verify")
        assert status == 0, err
    assert (tmp_path / "root/s/l").read_bytes() == LARGE
    assert (tmp_path / "root/s/photos/dog/2.png").exists()


def test_killed_inside_a_file_of_the_hub_it_goes_on_where_it_was(tmp_path, entry, data):
    path = f"/datasets/own/set/resolve/{COMMIT}/l.bin"
    state = tmp_path / "root/h/.download/hub/datasets--own--set/l.bin.part.json"
    with hub({"l.bin": LARGE, "small.json": b"{}"}) as server:
        whole = server.pages[path]

        def stuck(number, headers):  # 5 MB of every piece come, and then nothing
            return Page(LARGE, headers=whole(number, headers).headers, cut=5_000_000, stall=60)

        server.pages[path] = stuck
        entry("h", hub=[{"repository": "own/set", "revision": COMMIT}])
        code = f"""
from pathlib import Path
from sphinx_data.cli import group, run
from sphinx_data.sources import catalogue, part
part._SAVE_EVERY = 0.02
catalogue._folder = lambda: Path({str(tmp_path / "catalog")!r})
words = ["download", "h", "--root", {str(tmp_path / "root")!r}, "--allow-private", "--endpoint", {server.url!r}]
run(group, words, "x")
"""
        with subprocess.Popen([sys.executable, "-c", code], stdout=-3, stderr=-3) as process:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                with suppress(FileNotFoundError, json.JSONDecodeError):
                    if sum(size for size, _ in json.loads(state.read_bytes())["done"].values()) > 1_000_000:
                        break
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        assert not (tmp_path / "root/h/l.bin").exists()
        server.pages[path], before = whole, len(server.asked)
        status, _, err = download(data, "h", "--endpoint", server.url)
        assert status == 0, err
        asked = [words for place, words in server.asked[before:] if words and place == path]
        ranges = [words.removeprefix("bytes=").split("-") for words in asked]
        assert 0 < sum(int(end) - int(start) + 1 for start, end in ranges) < len(LARGE) - 1_000_000
    assert (tmp_path / "root/h/l.bin").read_bytes() == LARGE
    assert (tmp_path / "root/h/small.json").read_bytes() == b"{}"
    assert download(data, "h", "--verify")[0] == 0


# --- convert --source


def test_a_source_is_converted_with_one_more_word(tmp_path, entry, data):
    with WebServer({"/p.zip": Page(PHOTOS)}) as server:
        entry("pets", files=[{"url": f"{server.url}/p.zip", "unpack": "."}], languages=["en"],
              convert=[{"format": "imagefolder", "annotations": ["photos"], "split": "val", "samples": 7}])  # fmt: skip
        assert download(data, "pets")[0] == 0
    out = tmp_path / "out"
    status, said, err = data("convert", "--source", "pets", "--out", str(out), "--workers", "1", "--json")
    assert status == 0, err
    found = json.loads(said)
    assert found["samples"] == 6
    assert found["expected"] == "7 samples by the catalogue, 6 were made"
    sample = open_dataset(str(out)).sample(0)
    assert (sample.source, sample.license, sample.split) == ("pets", "CC-BY-4.0", "val")


def test_of_several_datasets_one_is_named(tmp_path, entry, data):
    with WebServer({"/p.zip": Page(PHOTOS)}) as server:
        both = [{"dataset": f"pets-{k}", "format": "imagefolder", "annotations": [f"photos/{k}*"]} for k in ("a", "d")]
        entry("pets", files=[{"url": f"{server.url}/p.zip", "unpack": "."}], convert=both)
        status, _, err = data("convert", "--source", "pets-d", "--out", str(tmp_path / "x"))
        assert (status, "download pets" in err) == (3, True), err
        assert download(data, "pets")[0] == 0
    status, _, err = data("convert", "--source", "pets", "--out", str(tmp_path / "x"))
    assert (status, "pets-a, pets-d" in err, "--dataset" in err) == (2, True, True), err
    status, _, err = data("convert", "--source", "pets", "--dataset", "pets-a", "--out", str(tmp_path / "x"))
    assert (status, "photos/a*" in err) == (3, True), err
    words = ("--out", str(tmp_path / "y"), "--workers", "1")
    assert data("convert", "--source", "pets-d", *words)[0] == 0
    assert open_dataset(str(tmp_path / "y")).name == "pets-d"


def test_a_source_that_nothing_converts(entry, data):
    entry("s", files=[], notes=["No converter knows its layout."])
    status, _, err = data("convert", "--source", "s", "--out", "x")
    assert (status, "No converter knows its layout" in err) == (2, True), err
    status, _, err = data("convert", "file.json", "--source", "s", "--out", "x")
    assert (status, "--root" in err) == (2, True), err


def test_files_of_a_needed_source_are_found(tmp_path, entry, data):
    entry("base", files=[])
    entry("pets", needs=["base"], convert=[{"format": "imagefolder", "annotations": ["@base/photos"]}])
    for n in range(2):
        path = tmp_path / f"root/base/photos/cat/{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png((n, 0, 0)))
    out = str(tmp_path / "out")
    assert data("convert", "--source", "pets", "--out", out, "--workers", "1")[0] == 0
    assert os.path.exists(f"{out}/dataset.json")
