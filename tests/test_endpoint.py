"""The client against a real server that misbehaves, and the record of its answers."""

import email.utils
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from model_server import ModelServer, Reply

from sphinx_data.answers import Record
from sphinx_data.endpoint import Answer, Client, Refused, Request, picture
from sphinx_data.errors import InputError, UsageError

GOOD = Reply("yes")


@pytest.fixture
def serve():
    servers = []

    def serve(*replies, then=GOOD):
        """A server that gives these replies in turn and `then` ever after; a function of the body is asked."""

        def reply(number, body):
            made = replies[number] if number < len(replies) else then
            return made(body) if callable(made) else made

        servers.append(ModelServer(reply))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("TEST_KEY", raising=False)


def client(server, **options):
    return Client(server.url, "TEST_KEY", **{"pause": 0.01, "tries": 4, "timeout": 5} | options)


def asking(text="Is it?", **fields):
    return Request(model="m", messages=({"role": "user", "content": text},), **fields)


def test_what_is_sent_and_what_comes_back(serve, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "secret-1")
    server = serve()
    content = [{"type": "text", "text": "Is it?"}, picture(b"\x89PNG", "png")]
    schema = {"type": "object"}
    request = asking(content, max_tokens=7, schema=schema, extra={"seed": 1})
    assert client(server).ask(request) == Answer("yes", 10, 3)
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == "Bearer secret-1"
    assert json.loads(server.bodies[0]) == {
        "model": "m", "temperature": 0.0, "max_tokens": 7, "seed": 1,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Is it?"}, {
            "type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}]}],
        "response_format": {"type": "json_schema",
                            "json_schema": {"name": "answer", "strict": True, "schema": schema}},
    }  # fmt: skip


def test_without_a_key_no_header_is_sent(serve, monkeypatch):
    monkeypatch.delenv("TEST_KEY", raising=False)
    server = serve()
    client(server).ask(asking())
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=429),
        Reply(status=500, body=b"oops"),
        Reply(status=503),
        Reply(cut=20),
        Reply(body=b'{"choices": []}'),
        Reply(body=b"<html>busy</html>"),
        Reply(body=b'{"choices": [{"message": {"content": ["a"]}}]}'),
    ],
)
def test_what_passes_is_tried_again(serve, bad):
    server = serve(bad, bad)
    assert client(server).ask(asking()).text == "yes"
    assert len(server.bodies) == 3
    assert len(set(server.bodies)) == 1


def test_what_does_not_pass_ends_in_one_sentence(serve):
    server = serve(then=Reply(status=502))
    with pytest.raises(InputError, match=r"status 502, 4 times; run the same command again to go on$"):
        client(server).ask(asking())
    assert len(server.bodies) == 4


def test_retry_after_in_seconds_holds_all_threads(serve):
    server = serve(Reply(status=429, headers={"Retry-After": "0.6"}))
    asked = client(server)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(asked.ask, asking("a"))
        while not asked._quiet_until:
            time.sleep(0.005)
        others = [pool.submit(asked.ask, asking(text)) for text in "bc"]
        assert {future.result().text for future in [first, *others]} == {"yes"}
    assert min(server.times[1:]) - server.times[0] >= 0.55


def test_retry_after_as_a_date(serve):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    server = serve(Reply(status=503, headers={"Retry-After": date}))
    client(server).ask(asking())
    assert 0.7 <= server.times[1] - server.times[0] <= 3


def test_a_stall_is_a_time_out(serve):
    server = serve(Reply("late", stall=1))
    assert client(server, timeout=0.2).ask(asking()).text == "yes"
    stalled = serve(then=Reply("late", stall=1))
    with pytest.raises(InputError, match=r"no answer in 0\.1 s, 2 times"):
        client(stalled, timeout=0.1, tries=2).ask(asking())


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (Reply(status=401, body=b"secret-1 is wrong"), UsageError, r"refuses the key in TEST_KEY \(status 401\)$"),
        (Reply(status=403), UsageError, "refuses the key in TEST_KEY"),
        (Reply(status=404, body=b'{"error": {"message": "no m"}}'), UsageError, r"knows no model 'm'.*no m.*/v1$"),
        (Reply(status=400, body=b'{"error": "secret-1 too\\nlong"}'), Refused, r"refuses.*400: \*\*\* too long"),
        (Reply(status=302, headers={"Location": "http://elsewhere.invalid/"}), UsageError, "has moved"),
    ],
)  # fmt: skip
def test_refusals_are_not_tried_again(serve, monkeypatch, reply, kind, message):
    monkeypatch.setenv("TEST_KEY", "secret-1")
    server = serve(then=reply)
    with pytest.raises(kind, match=message) as caught:
        client(server).ask(asking())
    assert "secret-1" not in str(caught.value)
    assert len(server.bodies) == 1


def test_a_missing_key_is_named(serve, monkeypatch):
    monkeypatch.delenv("TEST_KEY", raising=False)
    with pytest.raises(UsageError, match="wants a key: set TEST_KEY"):
        client(serve(then=Reply(status=401))).ask(asking())


def test_a_server_that_is_not_there(serve):
    server = serve()
    server.close()
    with pytest.raises(InputError, match=r"not reachable .*; is the server running"):
        client(server).ask(asking())


@pytest.mark.parametrize(
    "base", ["ftp://a/v1", "localhost:80", "file:///etc", "http://", "http://u:p@a/v1", "http://a b"]
)
def test_addresses_that_are_none(base):
    with pytest.raises(UsageError, match="--endpoint") as caught:
        Client(base)
    assert "u:p" not in str(caught.value)


def test_a_key_that_is_none_is_not_shown(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "secret\n2")
    with pytest.raises(UsageError, match="holds no key") as caught:
        Client("http://a/v1", "TEST_KEY")
    assert "secret" not in str(caught.value)


def test_the_record_is_asked_first(serve, tmp_path):
    server, place = serve(), str(tmp_path / "a/answers.jsonl")
    record = Record(place, client(server))
    assert record.answer(asking()) == record.answer(asking()) == Answer("yes", 10, 3)
    assert (record.totals.asked, record.totals.recorded, record.totals.prompt_tokens) == (1, 1, 10)
    record.close()
    for asked in (None, client(server)):
        again = Record(place, asked)
        assert again.answer(asking()).text == "yes"
        again.close()
    assert len(server.bodies) == 1
    with pytest.raises(InputError, match=r"holds no answer.*--endpoint URL"):
        Record(place).answer(asking("other"))


def test_equal_requests_at_one_time_are_asked_once(serve, tmp_path):
    server = serve(then=Reply("yes", stall=0.2))
    record = Record(str(tmp_path / "r.jsonl"), client(server))
    with ThreadPoolExecutor(6) as pool:
        assert {answer.text for answer in pool.map(lambda _: record.answer(asking()), range(6))} == {"yes"}
    assert len(server.bodies) == 1


def test_a_cut_last_line_is_ignored_and_a_damaged_one_is_named(serve, tmp_path):
    server, place = serve(), tmp_path / "r.jsonl"
    record = Record(str(place), client(server))
    for text in "ab":
        record.answer(asking(text))
    record.close()
    whole = place.read_bytes()
    place.write_bytes(whole[:-9])
    assert Record(str(place)).answer(asking("a")).text == "yes"
    record = Record(str(place), client(server))
    with pytest.raises(UsageError, match="another run is writing it"):
        Record(str(place), client(server))
    record.answer(asking("b"))
    record.close()
    assert place.read_bytes() == whole
    assert len(server.bodies) == 3
    place.write_bytes(b"{}\n" + whole)
    with pytest.raises(InputError, match="line 1 is damaged"):
        Record(str(place))


def test_refusals_are_recorded_once_the_server_answered_anything(serve, tmp_path):
    bad = Reply(status=400, body=b"too long")
    server = serve(bad)
    record = Record(str(tmp_path / "r.jsonl"), client(server))
    assert "too long" in str(record.answer(asking("a")).refused)
    assert (tmp_path / "r.jsonl").read_bytes() == b""
    record.answer(asking("b"))
    record.close()
    assert Record(str(tmp_path / "r.jsonl")).answer(asking("a")).refused
    never = Record(str(tmp_path / "n.jsonl"), client(serve(then=bad)))
    for number in range(7):
        never.answer(asking(str(number)))
    with pytest.raises(UsageError, match="so it does the first 8, and answers none"):
        never.answer(asking("7"))


def test_one_fatal_answer_ends_all_threads_with_its_reason(serve, tmp_path):
    server = serve(Reply(status=503), Reply(status=401))
    record = Record(str(tmp_path / "r.jsonl"), client(server, pause=60))
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(record.answer, asking("slow"))
        while not server.bodies:
            time.sleep(0.005)
        fatal = pool.submit(record.answer, asking("fatal"))
        for future in (fatal, slow):
            with pytest.raises(UsageError, match="wants a key"):
                future.result(5)
