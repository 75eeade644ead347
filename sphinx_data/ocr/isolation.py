"""Documents are read in a process of their own, so that one that hangs, crashes or eats memory costs only its page.

The reader gets a record and answers page by page. The kernel ends it when a page takes too much CPU time (RLIMIT_CPU,
so a busy machine changes nothing) and refuses it memory beyond a limit (RLIMIT_AS). A page that ended its reader is
tried once more, alone in a fresh process; when that ends too, the page is a reject and the next one goes on. What comes
out therefore depends on the page alone, never on what the same process read before.
"""

import atexit
import gc
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sphinx_data.errors import SphinxError
from sphinx_data.ocr.channel import Channel

OUT_OF_MEMORY = 86  # exit status of a reader that could not get memory
_STUCK = 300.0  # seconds without an answer and without any CPU time: blocked for ever
_POLL = 10.0
_MOST_DEAD = 8  # pages of one document that may end their reader; the rest is not tried
_SWEPT = 16  # pages after which what refers to itself is looked for; after every 700 objects it took 8 % of the time
# Answers of so many bytes, or those that come within so many seconds of each other, are worked on together: where two
# processes take turns on a core for every page, neither finds its own in the caches.
_TOGETHER, _SOON = 1 << 20, 0.1
_DONE = object()  # the job has ended and nothing is wrong

# What a reader does with a job: yields ("open", pages), then (page number from 0, items) for each page.
Work = Callable[["Job", Callable[[Callable[[], Any]], Any]], Iterator[tuple[Any, Any]]]


class Limits(NamedTuple):
    """What one page may take."""

    cpu_seconds: int
    memory_mb: int  # beyond what the process had before its first page


class Job(NamedTuple):
    """Pages [first, last) of one document; `last` None is to the end."""

    task: Any  # whatever the work needs; crosses processes
    limits: Limits
    first: int = 0
    last: int | None = None


class Died(NamedTuple):
    """A page, or the opening of its document, that ended its reader twice."""

    page: int | None  # from 0; None while opening
    rule: str  # timeout, memory or crash
    detail: str


class GivenUp(NamedTuple):
    """The pages from `first` on are not tried: too many of their document ended their readers."""

    first: int
    pages: int


def run(work: str, task: Any, limits: Limits) -> Iterator[Any]:
    """What `work` (``module:function``) makes of a document, item by item; `Died` stands for pages that cannot be read.

    Raises what `work` raised, where that is a SphinxError.
    """
    at: int | None = None  # the page that is being read; None while the document is opened
    pages, dead, alone = 0, 0, False
    while True:
        reader = _reader(work)
        try:
            first = at or 0
            for kind, payload in reader.answers(Job(task, limits, first, first + 1 if alone else None)):
                if kind == "open":
                    at, pages = at or 0, payload
                else:
                    yield from payload
                    at = kind + 1
            if alone and at is not None and at < pages:
                alone = False
                continue
            return
        except _ReaderDied as death:
            _close()
            if not alone:
                alone = True
                continue
            yield Died(at, death.rule, death.detail)
            if at is None:
                return
            at, dead, alone = at + 1, dead + 1, False
            if at >= pages:
                return
            if dead == _MOST_DEAD:
                yield GivenUp(at, pages)
                return


class _ReaderDied(Exception):
    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


class _Reader:
    """One process that reads documents; it ends with this one, however that ends."""

    def __init__(self, work: str) -> None:
        self.work = work
        near, far = socket.socketpair()
        self._channel = Channel(near)
        lifeline, self._life = os.pipe()  # the reader ends when the writing end is closed, by whatever means
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from sphinx_data.ocr.isolation import serve; serve({work!r}, {far.fileno()}, {lifeline})"
        )
        # a group of its own: a terminal's interrupt is for the parent to handle
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=(far.fileno(), lifeline), process_group=0
        )
        far.close()
        os.close(lifeline)
        try:
            self._channel.receive()
        except (EOFError, ConnectionError):
            raise RuntimeError("the process that reads documents cannot start") from None

    def answers(self, job: Job) -> Iterator[tuple[Any, Any]]:
        """What comes back for a job. Raises _ReaderDied, and a SphinxError that the work raised."""
        try:
            end = self._sent(job)
            while end is None:
                some, end = self._collected(job.limits)
                yield from some
        except GeneratorExit:  # nobody wants the rest: what is on its way must not meet the next document
            _close()
            raise
        if isinstance(end, Exception):
            raise end

    def _sent(self, job: Job) -> "_ReaderDied | None":
        try:
            self._channel.send(job)
        except ConnectionError:
            return self._death(job.limits)
        return None

    def _collected(self, limits: Limits) -> tuple[list[tuple[Any, Any]], Any]:
        """The next answers, and what ended the job, if it has ended: an error or `_DONE`."""
        some: list[tuple[Any, Any]] = []
        until = self._channel.received + _TOGETHER
        try:
            while self._channel.received < until:
                if not some:
                    self._wait(limits)
                elif not self._channel.wait(_SOON):
                    break
                answer = self._channel.receive()
                if answer is None:
                    return some, _DONE
                if isinstance(answer, SphinxError):
                    return some, answer
                if isinstance(answer, str):
                    return some, _ReaderDied("crash", answer)
                some.append(answer)
        except (EOFError, ConnectionError):
            return some, self._death(limits)
        except _ReaderDied as stuck:
            return some, stuck
        return some, None

    def _wait(self, limits: Limits) -> None:
        """Until an answer is there, or the reader has done nothing at all for a long time."""
        seen, since = -1.0, time.monotonic()
        while not self._channel.wait(_POLL):
            spent = _cpu_seconds(self.process.pid)
            if spent != seen:
                seen, since = spent, time.monotonic()
            elif time.monotonic() - since > _STUCK:
                raise _ReaderDied("timeout", f"nothing moved for {_STUCK:.0f} seconds")

    def _death(self, limits: Limits) -> _ReaderDied:
        status = self.process.wait()
        memory = f"more than {limits.memory_mb:,} MiB of memory are needed"
        if status == -signal.SIGXCPU:
            return _ReaderDied("timeout", f"more than {limits.cpu_seconds} seconds of CPU time are needed")
        if status == OUT_OF_MEMORY:
            return _ReaderDied("memory", memory)
        if status == -signal.SIGABRT:  # how PDFium and C++ libraries end when memory is refused
            return _ReaderDied("memory", f"{memory}, or a library gave up (SIGABRT)")
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return _ReaderDied("crash", f"the process that read it ended with {how}")

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        os.close(self._life)
        self.process.kill()
        self.process.wait()


_current: _Reader | None = None


def _reader(work: str) -> _Reader:
    """The reader of this process, kept between documents."""
    global _current  # noqa: PLW0603
    if _current is not None and _current.work != work:
        _close()
    if _current is None:
        _current = _Reader(work)
    return _current


@atexit.register
def _close() -> None:
    global _current
    reader, _current = _current, None
    if reader is not None:
        reader.close()


def _cpu_seconds(process: int) -> float:
    """CPU time of a process so far; 0 where the system does not tell."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(work: str, connection: int, lifeline: int) -> None:
    """The reader's side: do jobs until the other side is gone."""
    threading.Thread(target=_leave_with_parent, args=(lifeline,), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, name = work.partition(":")
    perform: Work = getattr(__import__(module, fromlist=[name]), name)
    channel = Channel(socket.socket(fileno=connection))
    channel.send("ready")
    base = _address_space()
    gc.disable()
    done = 0
    while True:
        try:
            job: Job = channel.receive()
        except EOFError:
            return
        done = _perform(perform, job, channel, base, done)


def _perform(perform: Work, job: Job, channel: Channel, base: int, done: int) -> int:
    """Do a job; `done` counts the answers given before, and is given back with those of this one."""
    grown = 0

    def unlimited(load: Callable[[], Any]) -> Any:
        """Load something large that stays; it does not count against the pages."""
        nonlocal grown
        _limit_memory(None)
        before = _address_space()
        loaded = load()
        grown += _address_space() - before
        _limit_memory(base + grown + (job.limits.memory_mb << 20))
        _limit_cpu(job.limits.cpu_seconds)
        return loaded

    try:
        _limit_memory(base + (job.limits.memory_mb << 20))
        _limit_cpu(job.limits.cpu_seconds)
        for answer in perform(job, unlimited):
            channel.send(answer)
            _limit_cpu(job.limits.cpu_seconds)
            done += 1
            if done % _SWEPT == 0:
                gc.collect()
            if done == _SWEPT:
                gc.freeze()  # what is loaded by now stays
        channel.send(None)
    except SphinxError as error:
        channel.send(error)
    except (BrokenPipeError, ConnectionError):
        os._exit(1)
    except Exception as error:
        if is_memory(error):
            os._exit(OUT_OF_MEMORY)
        said = " ".join(str(error).split())[:200]
        channel.send(f"reading it failed: {type(error).__name__}: {said}")
    return done


def is_memory(error: Exception) -> bool:
    """Whether an exception says that memory was refused, in any of the dialects of the libraries below."""
    said = str(error)
    words = ("bad_alloc", "bad allocation", "Failed to allocate", "Insufficient memory", "OutOfMemory")
    return isinstance(error, MemoryError) or any(word in said for word in words)


def _limit_cpu(seconds: int) -> None:
    """SIGXCPU, which nothing handles, after so much CPU time from now on."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(time.process_time()) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _limit_memory(size: int | None) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform != "linux":  # elsewhere the limit is not kept, or the size not told
        return
    wanted = most if size is None else size if most == resource.RLIM_INFINITY else min(size, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _address_space() -> int:
    """Bytes of address space that this process has; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _leave_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)
