"""One way to ask web servers: a session of aiohttp, and a sentence for everything that can go wrong.

What heals by itself (a busy server, a cut connection, a stall) is `Passing`; what does not (a wrong address, a refused
key) is `Failed` and never asked for again.
"""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import aiohttp
import msgspec

from sphinx_data import __version__
from sphinx_data.endpoint import retry_after
from sphinx_data.errors import SphinxError
from sphinx_data.sources.addresses import ForbiddenAddress, Names, plain_socket, public_socket

AGENT = f"sphinx-data/{__version__}"
ANSWERS = frozenset({200, 206, 416})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
LONGEST_PAUSE = 60.0  # seconds, where the server does not say
REDIRECTS = 10
FEW = 3  # tries of what seldom heals
_MENDS = {
    401: "it wants a login: fetch it by hand as the homepage says",
    403: "it refuses: fetch it by hand as the homepage says",
    404: "it is not there any more: see the homepage for its new place",
    410: "it was removed for good: see the homepage for another place",
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How politely and how long servers are asked."""

    parallel: int = 16  # requests at a time, of all hosts together
    per_host: int = 8  # connections to one host
    timeout: float = 60.0  # seconds without a byte
    connect_timeout: float = 20.0
    tries: int = 6  # in a row that bring nothing
    pause: float = 1.0  # seconds before the second try; doubles up to a minute
    patience: float = 3600.0  # the longest pause that a server may ask for
    allow_private: bool = False  # whether addresses of private networks and of this machine may be asked


class Failed(SphinxError):
    """A request that no repetition would mend; the message says what to do."""

    exit_status = 3

    def __init__(self, message: str, reason: str = "refused") -> None:
        super().__init__(message)
        self.reason = reason  # one word, to count by


class Passing(Exception):
    """Worth another try, after as many seconds as the server said."""

    def __init__(self, why: str, reason: str, after: float | None = None, *, few: bool = False) -> None:
        super().__init__(why)
        self.after = after
        self.reason = reason  # one word, to count by
        self.few = few  # it seldom heals: three tries are enough


class Client:
    """Asks servers; one per event loop. Use `async with`."""

    def __init__(self, limits: Limits, headers: dict[str, str] | None = None) -> None:
        self.limits = limits
        self._headers = {"User-Agent": AGENT} | (headers or {})  # of every request to the first host
        self._quiet: dict[str, float] = {}  # host -> no request before, by the monotonic clock

    async def __aenter__(self) -> "Client":
        limits = self.limits
        connector = aiohttp.TCPConnector(
            limit=limits.parallel, limit_per_host=limits.per_host, ttl_dns_cache=600, resolver=Names(),
            socket_factory=plain_socket if limits.allow_private else public_socket,
        )  # fmt: skip
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout, sock_read=limits.timeout)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=self._headers, auto_decompress=False,
            trust_env=True, read_bufsize=1 << 20, cookie_jar=aiohttp.DummyCookieJar(),
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @asynccontextmanager
    async def get(self, url: str, headers: dict[str, str] | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, with status 200, 206 or 416. Raises Passing and Failed, while it is read, too."""
        await self._rest(url)
        try:
            async with self._session.get(url, headers=headers, max_redirects=REDIRECTS) as response:
                if response.status not in ANSWERS:
                    raise self._refused(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, ForbiddenAddress, ValueError) as error:
            raise explained(error, url) from None

    async def _rest(self, url: str) -> None:
        host = host_of(url)
        while (left := self._quiet.get(host, 0.0) - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def _refused(self, response: aiohttp.ClientResponse) -> Exception:
        url = str(response.url)
        after = retry_after(response.headers.get("Retry-After"))
        error = refused(response.status, after, url, self.limits.patience)
        if isinstance(error, Passing) and after is not None:
            host = host_of(url)
            self._quiet[host] = max(self._quiet.get(host, 0.0), time.monotonic() + after)
        return error

    async def pause(self, number: int, error: Passing, url: str) -> None:
        """Wait after `number` tries in vain; where the server named a time, `get` waits for it.

        Raises Failed after the last.
        """
        if number >= (min(self.limits.tries, FEW) if error.few else self.limits.tries):
            raise Failed(f"{url}: {error}, {number} times; run the same command again to go on", error.reason) from None
        if error.after is None:
            seconds = min(self.limits.pause * 2 ** (number - 1), LONGEST_PAUSE)
            await asyncio.sleep(seconds * random.uniform(0.75, 1.25))


def refused(status: int, after: float | None, url: str, patience: float) -> Failed | Passing:
    """What a status that is no answer means; `after` is the pause that the server asks for, `patience` the longest."""
    reason = f"status-{status}"
    if status not in _PASSING:
        mend = _MENDS.get(status, "see the homepage for another place")
        return Failed(f"{url}: status {status}; {mend}", reason)
    if after is not None and after > patience:
        return Failed(f"{url}: status {status}, asks to come back in {after:.0f} s; try again then", reason)
    return Passing(f"status {status}", reason, after)


def host_of(url: str) -> str:
    """Host and port of a URL, or nothing where there is none."""
    with suppress(ValueError):
        return urlsplit(url).netloc.lower()
    return ""


def explained(error: BaseException, url: str) -> Exception:
    """What an error of a request means: Passing or Failed."""
    cause: BaseException | None = error
    while cause is not None:  # aiohttp wraps what its sockets raise
        if isinstance(cause, ForbiddenAddress):
            return Failed(f"{url}: {cause}", "private-address")
        cause = cause.__cause__ or cause.__context__
    match error:
        case aiohttp.TooManyRedirects():
            why = f"is redirected more than {REDIRECTS} times; see the homepage for another place"
            return Failed(f"{url}: {why}", "redirects")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | ValueError():
            return Failed(f"{url}: is, or leads to, no address of http or https", "bad-url")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return Failed(f"{url}: no secure connection ({error})", "tls")
        case aiohttp.ClientConnectorDNSError():
            return Passing(f"the name {host_of(url)} is not found", "name-not-found", few=True)
        case TimeoutError():
            return Passing("no byte came in time", "timeout")
        case aiohttp.ClientConnectorError():
            return Passing(f"not reachable ({error.os_error.strerror or error.os_error})", "not-reachable")
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | ConnectionError():
            return Passing("the connection was cut", "cut")
    return Passing(f"a broken answer ({type(error).__name__})", "broken-answer")
