"""Many requests at once by libcurl: hosts take turns, every address is looked at, every end has a reason."""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter

import pytest
from web_server import Page, WebServer

from sphinx_data.sources import addresses, libcurl
from sphinx_data.sources.http import Failed, Limits
from sphinx_data.sources.many import Many

QUICK = {"allow_private": True, "tries": 3, "pause": 0.01, "timeout": 0.5, "patience": 30.0, "parallel": 16}


def nothing(headers):
    return None


def fetched(urls, refuse=nothing, most=100_000, **limits):
    """URL -> its body, or the reason why there is none."""
    found = {}
    with Many(Limits(**(QUICK | limits)), "*/*", most, refuse) as many:
        for url in urls:
            many.add(url, url)
        while many.left:
            for url, what in many.wait(0.5):
                assert url not in found
                found[url] = what.reason if isinstance(what, Failed) else what
    return found


def test_bodies_come_whole_and_connections_are_used_again():
    pages = {f"/{n}": Page(bytes([n % 251]) * (n * 37)) for n in range(200)}
    with WebServer(pages) as server:
        found = fetched([f"{server.url}/{n}" for n in range(200)])
        assert found == {f"{server.url}/{n}": pages[f"/{n}"].body for n in range(200)}
        assert Counter(path for path, _ in server.asked) == Counter(list(pages))


def test_no_host_gets_more_requests_than_are_allowed_and_a_slow_one_holds_none_up():
    slow_pages = {f"/{n}": Page(b"s", slow=0.3) for n in range(16)}
    quick_pages = {f"/{n}": Page(b"q") for n in range(60)}
    order = []
    with WebServer(slow_pages) as slow, WebServer(quick_pages) as quick:
        with Many(Limits(**(QUICK | {"per_host": 2})), "*/*", 99, nothing) as many:
            for server, pages in ((slow, slow_pages), (quick, quick_pages)):  # all the slow ones first
                for path in pages:
                    many.add(f"{server.url}{path}", server is quick)
            while many.left:
                order += [tag for tag, _ in many.wait(0.5)]
        assert slow.most == 2
        assert quick.most <= 2
    assert sum(order[:42]) >= 30  # quick ones were done while the slow ones, given first, had their turns


def test_redirects_go_to_other_hosts_by_their_rules_and_end():
    with WebServer({"/a": Page(b"there")}) as there, WebServer() as here:
        here.pages = {
            "/one": Page(status=302, headers={"Location": f"{there.url}/a"}),
            "/two": Page(status=301, headers={"Location": "one"}),
            "/loop": Page(status=307, headers={"Location": "/loop"}),
            "/file": Page(status=302, headers={"Location": "file:///etc/passwd"}),
            "/space": Page(status=302, headers={"Location": f"{there.url}/a?q=ä b"}),
        }
        found = fetched([f"{here.url}{path}" for path in here.pages])
    assert {url.rpartition("/")[2]: what for url, what in found.items()} == {
        "one": b"there", "two": b"there", "loop": "redirects", "file": "bad-url", "space": b"there",
    }  # fmt: skip


def test_what_heals_is_asked_for_again_and_what_does_not_is_not():
    def heals(number, headers):
        return Page(b"now") if number == 2 else Page(status=503)

    pages = {"/heals": heals, "/never": Page(status=500), "/gone": Page(status=410), "/cut": Page(b"x" * 99, cut=5)}
    with WebServer(pages) as server:
        found = fetched([f"{server.url}{path}" for path in pages])
        asked = Counter(path for path, _ in server.asked)
    assert [found[f"{server.url}{path}"] for path in pages] == [b"now", "status-500", "status-410", "cut"]
    assert asked == {"/heals": 3, "/never": 3, "/gone": 1, "/cut": 3}


def test_a_host_that_asks_for_rest_gets_it_and_others_do_not_wait():
    def busy(number, headers):
        return Page(status=429, headers={"Retry-After": "1"}) if number == 0 else Page(b"later")

    with WebServer({"/busy": busy}) as tired, WebServer({"/a": Page(b"a")}) as fresh:
        urls = [f"{tired.url}/busy", f"{fresh.url}/a"]
        began, when = time.monotonic(), {}
        with Many(Limits(**QUICK), "*/*", 99, nothing) as many:
            for url in urls:
                many.add(url, url)
            while many.left:
                when |= {url: (time.monotonic() - began, what) for url, what in many.wait(0.5)}
    assert when[urls[0]][1] == b"later"
    assert when[urls[1]][1] == b"a"
    assert when[urls[0]][0] >= 0.9 > when[urls[1]][0]


def test_private_addresses_are_never_connected_to(monkeypatch):
    with WebServer({"/a": Page(b"a")}) as server:
        port = server.url.rpartition(":")[2]
        urls = [f"http://{host}:{port}/a" for host in ("127.0.0.1", "localhost", "0x7f000001", "2130706433", "[::1]")]
        assert set(fetched(urls, allow_private=False).values()) == {"private-address"}
        assert not server.asked
        monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
        server.pages["/r"] = Page(status=302, headers={"Location": f"http://127.0.0.9:{port}/a"})
        assert list(fetched([f"{server.url}/r", f"{server.url}/a"], allow_private=False).values()).count(b"a") == 1
        assert [path for path, _ in server.asked].count("/a") == 1


def test_bodies_are_unpacked_and_never_beyond_the_limit():
    bomb = gzip.compress(bytes(50_000_000))
    packed = {"Content-Encoding": "gzip"}
    pages = {
        "/small": Page(gzip.compress(b"a" * 5000), headers=packed), "/bomb": Page(bomb, headers=packed),
        "/declared": Page(b"x", length=10**9), "/chunks": Page(b"y" * 200_000, chunked=True),
        "/broken": Page(b"no gzip at all", headers=packed),
    }  # fmt: skip
    with WebServer(pages) as server:
        found = fetched([f"{server.url}{path}" for path in pages], tries=1)
    assert [found[f"{server.url}{path}"] for path in pages] == [
        b"a" * 5000, "too-large", "too-large", "too-large", "broken-answer",
    ]  # fmt: skip


def test_headers_are_looked_at_before_the_body_and_without_one():
    def refuse(headers):
        seen.append(dict(headers))
        return Failed("no", "refused-here") if ("x-wish", "stay away") in headers else None

    seen = []
    wish = {"X-Wish": "stay away"}
    pages = {"/a": Page(b"a" * 90_000, headers=wish), "/b": Page(b"", headers=wish), "/c": Page(b"c"),
             "/d": Page(b"", status=404, headers=wish)}  # fmt: skip
    with WebServer(pages) as server:
        found = fetched([f"{server.url}{path}" for path in pages], refuse)
    assert [found[f"{server.url}{path}"] for path in pages] == ["refused-here", "refused-here", b"c", "status-404"]
    assert len(seen) == 3


def test_silence_ends_at_every_stage():
    silent = socket.create_server(("127.0.0.1", 0))  # accepts nothing, answers nothing
    try:
        with WebServer({"/head": Page(b"x", slow=2), "/body": Page(b"x" * 50, cut=10, stall=2)}) as server:
            urls = [f"http://127.0.0.1:{silent.getsockname()[1]}/", f"{server.url}/head", f"{server.url}/body"]
            began = time.monotonic()
            assert set(fetched(urls, tries=1, connect_timeout=1.0).values()) == {"timeout"}
            assert time.monotonic() - began < 1.9
    finally:
        silent.close()


def test_long_error_pages_and_many_failures_block_no_handle():
    pages = {f"/{n}": Page(b"e" * 300_000, status=404) for n in range(20)} | {"/ok": Page(b"ok")}
    with WebServer(pages) as server:
        found = fetched([f"{server.url}{path}" for path in pages], parallel=2)
    assert Counter(map(str, found.values())) == {"status-404": 20, "b'ok'": 1}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/", "not-reachable"), ("http://no-such-host.invalid/a", "name-not-found"),
        ("ftp://127.0.0.1/a", "bad-url"), ("http://", "bad-url"), ("http://[::1/", "bad-url"), ("nonsense", "bad-url"),
        ("http://a b/c", "bad-url"), ("http://127.0.0.1:99999/", "bad-url"),
    ],
)  # fmt: skip
def test_addresses_that_lead_nowhere(url, reason):
    assert fetched([url]) == {url: reason}


def test_a_dead_name_is_looked_up_a_few_times_only(monkeypatch):
    asked = Counter()
    ask = Many._ask

    def counted(self, fetch, host, now):
        asked[fetch.host] += 1
        ask(self, fetch, host, now)

    monkeypatch.setattr(Many, "_ask", counted)
    urls = [f"http://no-such-host.invalid/{n}" for n in range(300)]
    assert set(fetched(urls, per_host=1, tries=1, pause=0.0).values()) == {"name-not-found"}
    assert asked == {"no-such-host.invalid": 3}


@pytest.mark.parametrize(
    ("url", "sent", "host"),
    [
        ("http://A.example/x?y=1#z", "http://A.example/x?y=1#z", "a.example"),
        ("https://a.example:81/%20", "https://a.example:81/%20", "a.example:81"),
        ("http://a.example/a b/ü.jpg", "http://a.example/a%20b/%C3%BC.jpg", "a.example"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x", "xn--bcher-kva.example"),
        ("http://a.example/x\r\nHost: b", "http://a.example/xHost:%20b", "a.example"),
    ],
)
def test_addresses_are_sent_as_ascii(url, sent, host):
    assert libcurl.place_of(url) == (sent, host)


def test_the_last_answer_in_header_lines_counts():
    said = (
        "HTTP/1.1 200 Connected|Proxy: x||HTTP/1.1 100 Continue||HTTP/2 404 |X-Robots-Tag: noai|x-robots-tag:none|no||"
    )
    lines = [f"{line}\r\n".encode() for line in said[:-1].split("|")]
    assert libcurl.answer_of(lines) == (404, [("x-robots-tag", "noai"), ("x-robots-tag", "none")])
    assert libcurl.answer_of([]) == (0, [])
    assert libcurl.answer_of([b"HTTP/1.1\r\n"]) == (0, [])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_certificates_are_checked(tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = WebServer({"/a": Page(b"secret")})
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    url = f"{server.url.replace('http', 'https')}/a"
    threading.Thread(target=server._server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        assert fetched([url]) == {url: "tls"}
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetched([url]) == {url: b"secret"}
    finally:
        server._server.shutdown()
        server._server.server_close()
