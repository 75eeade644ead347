"""The record of what endpoints answered: one line of JSON an answer, synced before anybody uses it.

What was answered once is never asked again, so that whatever is built from answers can be built again, with the same
bytes and without a network.
"""

import fcntl
import os
import threading
from concurrent.futures import Future
from io import BufferedRandom

import msgspec

from sphinx_data import storage
from sphinx_data.endpoint import Answer, Client, Refused, Request
from sphinx_data.errors import InputError, UsageError

_ALL_REFUSED = 8  # refusals before any answer after which a run ends: then it is not the samples


class _Line(msgspec.Struct, frozen=True):
    key: str
    answer: Answer


class Totals(msgspec.Struct):
    """What asking came to."""

    asked: int = 0  # by this run
    recorded: int = 0  # answers that were there before and were used
    prompt_tokens: int = 0  # of this run's answers
    completion_tokens: int = 0


class Record:
    """Answers by request, kept in an append-only file; any number of threads of one process may share it.

    Args:
        place: the file; it is made when the first answer comes.
        client: who is asked for what is not there. Without one, a missing answer is an InputError.
    """

    def __init__(self, place: str, client: Client | None = None) -> None:
        self.place, self.client, self.totals = place, client, Totals()
        self._lock = threading.Lock()
        self._at: dict[bytes, int] = {}  # key -> where its line begins
        self._asked: dict[bytes, Future[Answer]] = {}  # requests under way, so that equal ones are asked once
        self._error: BaseException | None = None  # what ended the first thread
        self._refused: list[_Line] = []  # kept back until the server has answered anything
        self._file: BufferedRandom | None = None
        if storage.exists(place) or client is not None:
            self._open()

    def answer(self, request: Request) -> Answer:
        """The recorded answer to a request, or the endpoint's, recorded; `Answer.refused` says that it will give none.

        Raises what `Client.ask` raises but Refused, and InputError where nothing is recorded and nobody can be asked.
        """
        key = bytes.fromhex(request.key())
        with self._lock:
            if key in self._at:
                self.totals.recorded += 1
                return self._line(self._at[key]).answer
            if self.client is None:
                raise InputError(f"{self.place}: holds no answer to one of the requests; give --endpoint URL to ask it")
            future = self._asked.get(key)
            if mine := future is None:
                future = self._asked[key] = Future()
        if mine:
            self._ask(self.client, request, key, future)
        return future.result()

    def stop(self) -> None:
        """End all waiting for the endpoint; what is under way is finished and recorded."""
        if self.client is not None:
            self.client.stop()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _ask(self, client: Client, request: Request, key: bytes, future: "Future[Answer]") -> None:
        try:
            try:
                answer = client.ask(request)
            except Refused as error:
                answer = Answer("", refused=str(error))
            with self._lock:
                self._keep(_Line(key.hex(), answer))
                del self._asked[key]
            future.set_result(answer)
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            client.stop()  # whatever ends one thread ends the others, and is what they all tell
            future.set_exception(self._error)

    def _keep(self, line: _Line) -> None:
        self.totals.asked += 1
        self.totals.prompt_tokens += line.answer.prompt_tokens
        self.totals.completion_tokens += line.answer.completion_tokens
        if line.answer.refused and not self._at:
            self._refused.append(line)
            if len(self._refused) >= _ALL_REFUSED:
                raise UsageError(f"{line.answer.refused}; so it does the first {_ALL_REFUSED}, and answers none")
            return
        for one in [*self._refused, line]:
            self._append(one)
        self._refused.clear()

    def _append(self, line: _Line) -> None:
        assert self._file is not None
        try:
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(f"{self.place}: cannot be written ({error.strerror or error}); make room") from None
        self._at[bytes.fromhex(line.key)] = start

    def _line(self, start: int) -> _Line:
        assert self._file is not None
        self._file.seek(start)
        return msgspec.json.decode(self._file.readline(), type=_Line)

    def _open(self) -> None:
        """Read where every answer lies; what a kill left of a last line is cut off."""
        path = storage.local(self.place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+b" if self.client else "rb")  # type: ignore[assignment]  # noqa: SIM115
            assert self._file is not None
            if self.client:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{self.place}: another run is writing it; wait for its end") from None
        except OSError as error:
            raise UsageError(f"{self.place}: cannot be opened ({error.strerror or error})") from None
        self._file.seek(0)
        start = 0
        for number, data in enumerate(self._file, 1):
            if not data.endswith(b"\n"):
                break
            try:
                key = bytes.fromhex(msgspec.json.decode(data, type=_Line).key)
            except (msgspec.MsgspecError, UnicodeError, ValueError):
                raise InputError(f"{self.place}: line {number} is damaged; remove it and it is asked again") from None
            self._at.setdefault(key, start)
            start += len(data)
        if self.client:
            self._file.truncate(start)
