"""Pictures behind lists of URLs: what is there is stored, what is not is a row with its reason."""

import gzip
import io
import json
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from samples import png
from web_server import Page, WebServer

from sphinx_data import open_dataset
from sphinx_data.cli import group, run
from sphinx_data.sources import addresses, pictures, urls
from sphinx_data.sources.urls import Columns, Row


def encoded(width: int, height: int, form: str, seed: int = 0) -> bytes:
    found = io.BytesIO()
    noise = random.Random(seed).randbytes(width * height * 3)
    Image.frombytes("RGB", (width, height), noise).save(found, form)
    return found.getvalue()


GOOD = {
    "/a.jpg": Page(encoded(60, 40, "JPEG")), "/b.png": Page(png((1, 2, 3))), "/c.webp": Page(encoded(30, 20, "WEBP")),
    "/d.gif": Page(encoded(30, 20, "GIF")), "/e": Page(encoded(300, 100, "JPEG", 1)),
}  # fmt: skip
DEAD = {
    "/gone": (Page(status=404), "status-404"),
    "/forbidden": (Page(status=403), "status-403"),
    "/busy": (Page(status=503), "status-503"),
    "/later": (Page(status=429, headers={"Retry-After": "9999"}), "status-429"),
    "/page": (Page(b"<html>", headers={"Content-Type": "text/html"}), "no-picture"),
    "/text": (Page(b"no picture at all"), "no-picture"),
    "/half": (Page(encoded(60, 40, "JPEG")[:500]), "no-picture"),
    "/empty": (Page(b""), "no-picture"),
    "/loop": (Page(status=302, headers={"Location": "/loop"}), "redirects"),
    "/cut": (Page(encoded(60, 40, "JPEG"), cut=100), "cut"),
    "/large": (Page(bytes(300_000)), "too-large"),
    "/endless": (Page(bytes(300_000), chunked=True), "too-large"),
    "/noai": (Page(png((9, 9, 9)), headers={"X-Robots-Tag": "noindex, noai"}), "noai"),
    "/noimageai": (Page(png((9, 9, 8)), headers={"X-Robots-Tag": "NoImageAI"}), "noai"),
    "/stalls": (Page(png((1, 1, 1)), stall=1.5), "timeout"),
}


@pytest.fixture
def data(tmp_path, capsys):
    def call(*words: str) -> dict:
        where = ["--root", str(tmp_path / "root"), "--allow-private", "--tries", "1", "--timeout", "0.6",
                 "--max-bytes", "200000", "--json"]  # fmt: skip
        status = run(group, ["download", *words, *where], "sphinx-data")
        found = capsys.readouterr()
        assert status == 0, found.err
        return json.loads(found.out)

    return call


def a_list(path: Path, server: WebServer, names: list[str]) -> str:
    table = {"URL": [f"{server.url}{name}" for name in names], "TEXT": [f"caption of {name}" for name in names]}
    pq.write_table(pa.table(table), path)
    return str(path)


def table_of(tmp_path: Path, name: str = "list") -> list[dict]:
    return pq.read_table(tmp_path / f"root/{name}/pictures/00000.parquet").to_pylist()


def test_dead_urls_are_rows_with_their_reasons(tmp_path, data, capsys):
    with WebServer({**GOOD, **{path: page for path, (page, _) in DEAD.items()}}) as server:
        names = [*GOOD, *DEAD]
        listed = a_list(tmp_path / "list.parquet", server, names)
        found = data("--urls", listed, "--url-column", "URL", "--caption-column", "TEXT")
    assert (found["pictures"], found["URLs"]) == (len(GOOD), len(names))
    rows = {row["url"].removeprefix(server.url): row for row in table_of(tmp_path)}
    assert list(rows) == names
    assert {path: (rows[path]["error_message"] or "").partition(":")[0] for path in DEAD} == {
        path: reason for path, (_, reason) in DEAD.items()
    }
    assert sum(found["failed"].values()) == len(DEAD)
    with tarfile.open(tmp_path / "root/list/pictures/00000.tar") as archive:
        stored = {member.name: archive.extractfile(member).read() for member in archive}
    assert stored[f"{rows['/a.jpg']['key']}.jpg"] == GOOD["/a.jpg"].body  # as it came
    assert stored[f"{rows['/c.webp']['key']}.webp"] == GOOD["/c.webp"].body
    assert f"{rows['/d.gif']['key']}.png" in stored  # of a form that not every reader knows
    assert stored[f"{rows['/b.png']['key']}.txt"] == b"caption of /b.png"
    assert (rows["/e"]["width"], rows["/e"]["height"]) == (300, 100)

    out = str(tmp_path / "out")
    assert run(group, [*found["next"].split()[1:-1], out, "--workers", "1", "--json"], "sphinx-data") == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["samples"], made["rejects"]["download-failed"]) == (len(GOOD), len(DEAD))
    assert "caption of /a.jpg" in str(open_dataset(out).sample(0).messages)


def test_a_second_run_asks_nobody_and_retry_asks_for_what_failed(tmp_path, data):
    with WebServer({**GOOD, "/noai": DEAD["/noai"][0]}) as server:
        listed = a_list(tmp_path / "list.parquet", server, [*GOOD, "/late", "/gone", "/noai"])
        words = ("--urls", listed, "--caption-column", "TEXT")
        assert data(*words)["pictures"] == len(GOOD)
        before, asked = table_of(tmp_path), len(server.asked)
        assert data(*words)["pictures"] == len(GOOD)
        assert len(server.asked) == asked
        server.pages["/late"] = Page(png((5, 5, 5)))
        found = data(*words, "--retry-failed")
        assert (found["pictures"], found["failed"]) == (len(GOOD) + 1, {"noai": 1, "status-404": 1})
        assert sorted(path for path, _ in server.asked[asked:]) == ["/gone", "/late"]
    after = table_of(tmp_path)
    assert next(row for row in after if row["url"].endswith("/late"))["status"] == "success"
    changed = [row["url"] for row, old in zip(after, before, strict=True) if row != old]
    assert changed == [f"{server.url}/late"]
    with tarfile.open(tmp_path / "root/list/pictures/00000.tar") as archive:
        keys = {name.partition(".")[0] for name in archive.getnames() if not name.endswith((".txt", ".json"))}
    assert keys == {row["key"] for row in after if row["status"] == "success"}


def test_larger_pictures_are_made_smaller_on_request(tmp_path, data):
    with WebServer(GOOD) as server:
        listed = a_list(tmp_path / "list.parquet", server, list(GOOD))
        data("--urls", listed, "--max-side", "60")
    rows = {row["url"].removeprefix(server.url): row for row in table_of(tmp_path)}
    row = rows["/e"]
    assert (row["width"], row["height"], row["original_width"], row["original_height"]) == (60, 20, 300, 100)
    with tarfile.open(tmp_path / "root/list/pictures/00000.tar") as archive:
        member = archive.extractfile(f"{row['key']}.jpg")
        assert Image.open(io.BytesIO(member.read())).size == (60, 20)
        assert archive.extractfile(f"{rows['/a.jpg']['key']}.jpg").read() == GOOD["/a.jpg"].body


@pytest.mark.parametrize("workers", ["1", "2"])
def test_shards_follow_the_list_whoever_fetches_them(tmp_path, data, monkeypatch, workers):
    monkeypatch.setattr(pictures, "ROWS", 10_000 if workers == "2" else 4)
    with WebServer(GOOD) as server:
        names = [*GOOD, "/x", *GOOD]
        listed = a_list(tmp_path / "list.parquet", server, names)
        first = data("--urls", listed, "--limit", "6", "--workers", workers)
        assert (first["pictures"], first["URLs"]) == (5, 6)
        asked = len(server.asked)
        found = data("--urls", listed, "--workers", workers)
        assert len(server.asked) == asked + 5  # a shard that grew keeps what it had
    assert (found["pictures"], found["failed"]) == (10, {"status-404": 1})
    shards = sorted((tmp_path / "root/list/pictures").glob("*.parquet"))
    rows = [row["url"] for shard in shards for row in pq.read_table(shard).to_pylist()]
    assert rows == [f"{server.url}{name}" for name in names]


def test_killed_at_any_moment_every_row_is_there_in_the_end(tmp_path):
    pages = {f"/{n}": Page(png((n, 1, 1)), slow=0.02) for n in range(150)}
    with WebServer(pages) as server:
        (tmp_path / "l.txt").write_text("".join(f"{server.url}{path}\n" for path in pages))
        words = ["download", "--urls", str(tmp_path / "l.txt"), "--root", str(tmp_path / "root"), "--allow-private"]
        step = [sys.executable, "-c", f"from sphinx_data.cli import group, run; run(group, {words!r}, 'x')"]
        for enough in (5, 60):
            asked = len(server.asked)
            with subprocess.Popen(step, stdout=-3, stderr=-3) as process:
                while len(server.asked) < asked + enough and process.poll() is None:
                    time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
        assert not list((tmp_path / "root").rglob("*.parquet"))
        subprocess.run(step, check=True, capture_output=True)
    rows = table_of(tmp_path, "l")
    assert [row["url"].removeprefix(server.url) for row in rows] == list(pages)
    assert {row["status"] for row in rows} == {"success"}
    assert not list((tmp_path / "root").rglob(".tmp-*"))


def test_another_list_does_not_mix_with_the_first(tmp_path, data, capsys):
    with WebServer(GOOD) as server:
        listed = a_list(tmp_path / "list.parquet", server, list(GOOD))
        data("--urls", listed)
        a_list(tmp_path / "list.parquet", server, ["/a.jpg"])
        status = run(group, ["download", "--urls", listed, "--root", str(tmp_path / "root")], "sphinx-data")
    assert (status, "was begun with lists" in capsys.readouterr().err) == (2, True)


def test_private_addresses_are_dead_unless_allowed(tmp_path, capsys):
    with WebServer(GOOD) as server:
        listed = a_list(tmp_path / "list.parquet", server, list(GOOD))
        assert run(group, ["download", "--urls", listed, "--root", str(tmp_path / "root"), "--json"], "x") == 0
        assert json.loads(capsys.readouterr().out)["failed"] == {"private-address": len(GOOD)}
        assert not server.asked


def test_a_redirect_into_the_own_network_is_dead(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    with WebServer() as server:
        inside = server.url.replace("127.0.0.1", "127.0.0.9")
        server.pages = {"/r": Page(status=302, headers={"Location": f"{inside}/a.jpg"}), **GOOD}
        listed = a_list(tmp_path / "list.parquet", server, ["/r", "/a.jpg"])
        assert run(group, ["download", "--urls", listed, "--root", str(tmp_path / "root"), "--json"], "x") == 0
    assert json.loads(capsys.readouterr().out)["failed"] == {"private-address": 1}
    assert [path for path, _ in server.asked].count("/a.jpg") == 1


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        (["noai"], "noai"), (["noindex, NoImageAI"], "noimageai"), (["googlebot: noai"], None), (["*: noai"], "noai"),
        (["noindex"], None), ([], None), (["all", "noai"], "noai"), (["unavailable_after: 1 Jan 2030"], None),
    ],
)  # fmt: skip
def test_refusals_in_headers(headers, word):
    assert pictures.refusal(headers) == word


ROWS = [("http://a/1", 'a "quoted, caption'), ("http://a/2", "später")]


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("l.csv", 'url,text\nhttp://a/1,"a ""quoted, caption"\nhttp://a/2,später\n', Columns(None, "text")),
        ("l.tsv", 'text\turl\na "quoted, caption\thttp://a/1\nspäter\thttp://a/2\n', Columns("url", "text")),
        ("l.tsv", 'a "quoted, caption\thttp://a/1\nspäter\thttp://a/2\n', Columns("2", "1")),
        ("l.jsonl", "".join(json.dumps({"link": u, "c": t}) + "\n" for u, t in ROWS), Columns(None, "c")),
    ],
)
def test_lists_of_every_form(tmp_path, name, text, columns):
    (tmp_path / name).write_text(text)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    for path in (name, f"{name}.gz"):
        assert list(urls.rows(str(tmp_path / path), columns)) == [Row(*row) for row in ROWS]


def test_lines_are_a_list(tmp_path):
    (tmp_path / "l.txt").write_text("http://a/1\n\nhttp://a/2\n")
    assert [row.url for row in urls.rows(str(tmp_path / "l.txt"), Columns(None, None))] == ["http://a/1", "http://a/2"]


@pytest.mark.parametrize(
    ("name", "data", "columns", "says"),
    [
        ("l.csv", b"url,text\n", Columns("link", None), "has no column link; it has url, text"),
        ("l.csv", b"a,b\n", Columns(None, None), "--url-column one of a, b"),
        ("l.parquet", b"PAR1", Columns(None, None), "cannot be read"),
        ("l.csv.gz", b"no gzip", Columns(None, None), "cannot be read"),
        ("l.jsonl", b"{", Columns(None, None), "line 1 is no JSON"),
        ("l.pdf", b"", Columns(None, None), "is no list of URLs by its name"),
    ],
)
def test_lists_that_are_none(tmp_path, name, data, columns, says):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Exception, match=says):
        list(urls.rows(str(tmp_path / name), columns))


def test_real_lists_are_read():
    place = Path(__file__).parents[3] / "shared/data/url_lists"
    if not place.is_dir():
        pytest.skip("needs the shared test files")
    lines = [row.url for row in urls.rows(str(place / "test_1000.txt"), Columns(None, None))]
    table = [row.url for row in urls.rows(str(place / "test_1000.parquet"), Columns(None, None))]
    assert len(lines) == len(table) == 1000
    assert all(url.startswith("http") for url in lines)
