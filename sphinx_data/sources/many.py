"""Small answers from many servers at once, by libcurl in one thread: hosts take turns, every address is looked at.

A request of aiohttp costs some 400 us of Python, one of libcurl 25. What libcurl leaves to its user is here: how many
requests a host gets, when one that asked for rest is asked again, where a redirect may lead, what an error means.
"""

import heapq
import random
import selectors
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pycurl

from sphinx_data.endpoint import retry_after
from sphinx_data.sources.http import (
    ANSWERS,
    FEW,
    LONGEST_PAUSE,
    REDIRECTS,
    Failed,
    Limits,
    Passing,
    refused,
)
from sphinx_data.sources.libcurl import (
    FORGOTTEN,
    STOPPED,
    Headers,
    answer_of,
    explained,
    handle_for,
    place_of,
    public_socket,
    text_of,
)

Refusal = Callable[[Headers], Failed | None]
Told = tuple[Any, bytes | Failed]  # tag, and the body or why there is none

_OF_ERRORS = 1 << 16  # bytes of an error's page that are read to keep its connection


class _Fetch:
    """One URL on its way."""

    __slots__ = (
        "at", "began", "body", "forbidden", "head", "heard", "host", "seen", "sent", "several",
        "size", "status", "stopped", "tag", "tries", "url",
    )  # fmt: skip

    def __init__(self, url: str, tag: Any) -> None:
        self.url, self.tag = url, tag
        self.at = url  # after redirects
        self.host = ""
        self.tries = self.several = 0  # in vain; redirects

    def begin(self, now: float) -> None:
        """Nothing has come yet."""
        self.body: list[bytes] = []
        self.head: list[bytes] = []
        self.size = self.status = 0
        self.began = self.heard = now
        self.sent = self.seen = False
        self.stopped: Exception | None = None  # why this side ended it
        self.forbidden: str | None = None  # an address that was not connected to

    def forbid(self, address: str) -> None:
        """Note an address of a private network."""
        self.forbidden = address


class _Host:
    """What is known of one host."""

    __slots__ = ("active", "listed", "missed", "quiet", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Fetch] = deque()
        self.active = 0  # requests that run
        self.listed = False  # among those whose turn comes
        self.quiet = 0.0  # no request before, by the monotonic clock
        self.missed: list[float] = []  # when its name was not found


class Many:
    """Requests that run beside each other; one per thread. Use it as a context.

    Args:
        limits: how politely and how long.
        accept: the header of that name.
        most: bytes of a body, unpacked.
        refuse: is asked once a request, before its body, and gives the reason not to read it.
    """

    def __init__(self, limits: Limits, accept: str, most: int, refuse: Refusal) -> None:
        self.limits, self._most, self._refuse = limits, most, refuse
        self._accept = accept
        self._hosts: dict[str, _Host] = {}
        self._turns: deque[str] = deque()  # hosts that may be asked
        self._later: list[tuple[float, int, _Fetch | str]] = []  # heap of requests and hosts that rest
        self._done: list[Told] = []
        self._running: dict[Any, _Fetch] = {}  # by handle
        self._count = 0
        self.left = 0  # URLs that were given and not told of
        self._due: float | None = None  # when libcurl wants to be called
        self._looked = 0.0  # for stalls

    def __enter__(self) -> "Many":
        self._poll = selectors.DefaultSelector()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._remind)
        self._multi.setopt(pycurl.M_MAXCONNECTS, 2 * self.limits.parallel)
        self._free = [handle_for(self.limits, self._accept) for _ in range(self.limits.parallel)]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in list(self._running):
            self._multi.remove_handle(handle)
            handle.close()
        for handle in self._free:
            handle.close()
        self._multi.close()
        self._poll.close()

    def add(self, url: str, tag: Any) -> None:
        """Ask for a URL; `wait` will tell of it under its tag."""
        self.left += 1
        self._queue(_Fetch(url, tag))

    def wait(self, seconds: float) -> list[Told]:
        """What has come to an end, after at most so many seconds; nothing at all where that is too short."""
        if not self._done:
            self._start()
            self._step(seconds)
            self._collect()
        found, self._done = self._done, []
        self.left -= len(found)
        return found

    # ---- whose turn it is ----

    def _queue(self, fetch: _Fetch) -> None:
        try:
            fetch.at, fetch.host = place_of(fetch.at)
        except ValueError:
            self._failed(fetch, Failed("is, or leads to, no address of http or https", "bad-url"))
            return
        host = self._hosts.setdefault(fetch.host, _Host())
        host.waiting.append(fetch)
        self._list(fetch.host, host)

    def _list(self, name: str, host: _Host) -> None:
        """Give a host its turn, or forget one that nothing is known of and nothing wanted from."""
        if host.waiting and not host.listed and host.active < self.limits.per_host:
            host.listed = True
            self._turns.append(name)
        elif not (host.waiting or host.active or host.listed or host.missed) and host.quiet < time.monotonic():
            self._hosts.pop(name, None)

    def _start(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, _, rested = heapq.heappop(self._later)
            if isinstance(rested, str):
                self._turns.append(rested)
            else:
                self._queue(rested)
        while self._free and self._turns:
            name = self._turns.popleft()
            host = self._hosts[name]
            if host.quiet > now:
                self._count += 1
                heapq.heappush(self._later, (host.quiet, self._count, name))
                continue
            host.listed = False
            fetch = host.waiting.popleft()
            if len(host.missed) >= FEW and now - host.missed[-1] < FORGOTTEN:
                self._failed(fetch, Failed(f"the name {name} is not found", "name-not-found"))
            else:
                self._ask(fetch, host, now)
            self._list(name, host)

    def _ask(self, fetch: _Fetch, host: _Host, now: float) -> None:
        handle = self._free.pop()
        fetch.begin(now)
        handle.setopt(pycurl.URL, fetch.at)
        handle.setopt(pycurl.WRITEFUNCTION, lambda data: self._came(fetch, data))
        handle.setopt(pycurl.HEADERFUNCTION, fetch.head.append)
        if not self.limits.allow_private:
            handle.setopt(pycurl.OPENSOCKETFUNCTION, lambda _, address: public_socket(address, fetch.forbid))
        host.active += 1
        self._running[handle] = fetch
        self._multi.add_handle(handle)

    # ---- what happens ----

    def _watch(self, what: int, descriptor: int, _multi: Any, _data: Any) -> None:
        """libcurl wants to hear of a socket, of something else than before, or no more."""
        if descriptor in self._poll.get_map():
            self._poll.unregister(descriptor)
        if what != pycurl.POLL_REMOVE:
            reads, writes = what & pycurl.POLL_IN, what & pycurl.POLL_OUT
            events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)
            self._poll.register(descriptor, events)

    def _remind(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _step(self, seconds: float) -> None:
        """Wait for sockets and clocks, and let libcurl work."""
        now = time.monotonic()
        until = now + seconds
        if self._done:
            until = now
        if self._due is not None:
            until = min(until, self._due)
        if self._later:
            until = min(until, self._later[0][0])
        if self._running:
            until = min(until, self._looked + self._watchful)
        for key, events in self._poll.select(max(until - now, 0.0)):
            reads, writes = events & selectors.EVENT_READ, events & selectors.EVENT_WRITE
            flags = (pycurl.CSELECT_IN if reads else 0) | (pycurl.CSELECT_OUT if writes else 0)
            self._multi.socket_action(key.fd, flags)
        now = time.monotonic()
        if self._due is not None and self._due <= now:
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        if self._running and now >= self._looked + self._watchful:
            self._looked = now
            self._stalls(now)

    @property
    def _watchful(self) -> float:
        """Seconds between looks for stalled requests."""
        return min(self.limits.timeout / 4, 1.0)

    def _stalls(self, now: float) -> None:
        for handle, fetch in list(self._running.items()):
            if not fetch.sent:  # until then the connection has a clock of its own
                fetch.sent, fetch.heard = handle.getinfo(pycurl.PRETRANSFER_TIME) > 0, now
            elif now - fetch.heard > self.limits.timeout or now - fetch.began > self._longest:
                self._ended(handle, Passing("no byte came in time", "timeout"))

    @property
    def _longest(self) -> float:
        return self.limits.connect_timeout + 4 * self.limits.timeout

    def _came(self, fetch: _Fetch, data: bytes) -> int | None:
        """A piece of a body; -1 ends the request."""
        fetch.heard, fetch.sent = time.monotonic(), True
        if not fetch.seen:
            fetch.seen = True
            fetch.status, headers = answer_of(fetch.head)
            if fetch.status in ANSWERS:
                declared = next((value for name, value in headers if name == "content-length"), "")
                fetch.stopped = self._refuse(headers)
                if fetch.stopped is None and declared.isdecimal() and int(declared) > self._most:
                    fetch.stopped = self._too_large()
                if fetch.stopped is not None:
                    return -1
        fetch.size += len(data)
        if fetch.status not in ANSWERS:  # read, so that its connection can be used again
            return None if fetch.size <= _OF_ERRORS else -1
        if fetch.size > self._most:
            fetch.stopped = self._too_large()
            return -1
        fetch.body.append(data)
        return None

    def _too_large(self) -> Failed:
        return Failed(f"more than {self._most:,} bytes", "too-large")

    def _collect(self) -> None:
        more = 1
        while more:
            more, good, bad = self._multi.info_read()
            for handle in good:
                self._ended(handle, None)
            for handle, code, words in bad:
                fetch = self._running[handle]
                error = fetch.stopped or explained(code, words, fetch.host, fetch.forbidden)
                is_page = code == STOPPED and fetch.stopped is None  # a long one, of an error
                self._ended(handle, None if is_page else error)

    def _ended(self, handle: Any, error: Exception | None) -> None:
        """A request is over: its handle is free, and its URL is told of, tried again or asked for elsewhere."""
        fetch = self._running.pop(handle)
        status = handle.getinfo(pycurl.RESPONSE_CODE) if error is None else 0
        elsewhere = handle.getinfo_raw(pycurl.REDIRECT_URL) if error is None else None
        self._multi.remove_handle(handle)
        self._free.append(handle)
        name, host = fetch.host, self._hosts[fetch.host]
        host.active -= 1
        if isinstance(error, Passing) and error.reason == "name-not-found":
            if not host.missed or time.monotonic() - host.missed[-1] > self.limits.pause / 2:  # a burst counts once
                host.missed.append(time.monotonic())
        else:
            host.missed.clear()
        if elsewhere:
            self._redirected(fetch, text_of(elsewhere))
        elif error is None:
            self._answered(fetch, status, host)
        else:
            self._again(fetch, error)
        self._list(name, host)

    def _redirected(self, fetch: _Fetch, place: str) -> None:
        fetch.several += 1
        if fetch.several > REDIRECTS:
            why = f"is redirected more than {REDIRECTS} times; see the homepage for another place"
            self._failed(fetch, Failed(why, "redirects"))
            return
        fetch.at = place
        self._queue(fetch)

    def _answered(self, fetch: _Fetch, status: int, host: _Host) -> None:
        if fetch.seen and status in ANSWERS:  # its headers were looked at before its body
            self._done.append((fetch.tag, b"".join(fetch.body)))
            return
        _, headers = answer_of(fetch.head)
        if status in ANSWERS:
            refusal = self._refuse(headers)
            self._done.append((fetch.tag, b"" if refusal is None else refusal))
            return
        said = next((value for name, value in headers if name == "retry-after"), None)
        after = retry_after(said)
        error = refused(status, after, fetch.at, self.limits.patience)
        if isinstance(error, Passing) and after is not None:
            host.quiet = max(host.quiet, time.monotonic() + after)
        self._again(fetch, error)

    def _again(self, fetch: _Fetch, error: Exception) -> None:
        """Another try, if it deserves one."""
        if not isinstance(error, Passing):
            assert isinstance(error, Failed)
            self._failed(fetch, error)
            return
        fetch.tries += 1
        if fetch.tries >= (min(self.limits.tries, FEW) if error.few else self.limits.tries):
            self._failed(fetch, Failed(str(error), error.reason))
            return
        fetch.at, fetch.several = fetch.url, 0
        seconds = 0.0
        if error.after is None:
            seconds = min(self.limits.pause * 2 ** (fetch.tries - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)
        self._count += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._count, fetch))

    def _failed(self, fetch: _Fetch, error: Failed) -> None:
        words = str(error).removeprefix(f"{fetch.url}: ")
        self._done.append((fetch.tag, Failed(words, error.reason)))
