"""What libcurl needs and says, in words of this project: URLs, sockets, header lines, errors."""

import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pycurl

from sphinx_data.sources import addresses
from sphinx_data.sources.http import AGENT, Failed, Limits, Passing, host_of

Headers = list[tuple[str, str]]  # names in lower case, in the order of the answer

STOPPED = 23  # a callback ended the request
FORGOTTEN = 600.0  # seconds after which a name may be asked for again
_PLAIN = re.compile(r"https?://([\w.:\[\]-]+)(?:[/?][\w.~:/?#\[\]@!$&'()*+,;=%-]*)?", re.ASCII)
_TLS = frozenset({35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91, 98})  # libcurl-errors(3)
_CUT = frozenset({18, 52, 55, 56})
_NO_NAME, _BAD_URL = frozenset({5, 6}), frozenset({1, 3})
_NO_CONNECTION, _TIMEOUT = 7, 28


def handle_for(limits: Limits, accept: str) -> Any:
    """A handle for requests of pictures and pages: redirects are the caller's matter, certificates are checked."""
    paths = ssl.get_default_verify_paths()
    trusted = (pycurl.CAINFO, paths.cafile) if paths.cafile else (pycurl.CAPATH, paths.capath)
    handle = pycurl.Curl()
    for option, value in (
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS), (pycurl.FOLLOWLOCATION, 0),
        (pycurl.USERAGENT, AGENT), (pycurl.HTTPHEADER, [f"Accept: {accept}"]), (pycurl.ACCEPT_ENCODING, ""),
        (pycurl.CONNECTTIMEOUT_MS, max(int(1000 * limits.connect_timeout), 1)), (pycurl.NOSIGNAL, 1),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1), (pycurl.DNS_CACHE_TIMEOUT, int(FORGOTTEN)),
        (pycurl.BUFFERSIZE, 1 << 16), trusted,
    ):  # fmt: skip
        if value is not None:
            handle.setopt(option, value)
    return handle


def public_socket(address: Any, forbidden: Callable[[str], None]) -> Any:
    """The socket for an address, unless it is of a private network: `forbidden` is told then."""
    if addresses.is_public(address.addr[0]):
        return socket.socket(address.family, address.socktype, address.protocol)
    forbidden(address.addr[0])
    return pycurl.SOCKET_BAD


def place_of(url: str) -> tuple[str, str]:
    """A URL as libcurl takes it, ASCII with everything else quoted, and its host and port.

    Raises ValueError where it is none of the web.
    """
    if found := _PLAIN.fullmatch(url):
        return url, found[1].lower()
    from yarl import URL

    made = URL(url)
    if made.scheme not in ("http", "https") or not made.host:
        raise ValueError(url)
    return str(made), host_of(str(made))


def text_of(place: bytes) -> str:
    """A URL of a header, which may be of any encoding."""
    try:
        return place.decode()
    except UnicodeDecodeError:
        return place.decode("latin-1")


def answer_of(lines: list[bytes]) -> tuple[int, Headers]:
    """Status and headers of the last answer in header lines; those of a proxy, or 1xx, go before it."""
    start = max((n for n, line in enumerate(lines) if line.startswith(b"HTTP/")), default=len(lines))
    first, *rest = b"".join(lines[start:]).decode("latin-1").split("\r\n")
    words = first.split(None, 2)
    headers = [
        (name.strip().lower(), value.strip()) for name, colon, value in (e.partition(":") for e in rest) if colon
    ]
    return (int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0), headers


def explained(code: int, words: str, host: str, forbidden: str | None) -> Failed | Passing:
    """What an error of libcurl means; `forbidden` is an address that was not connected to."""
    if forbidden is not None and code == _NO_CONNECTION:
        why = f"{forbidden} is no public address (--allow-private permits it)"
        return Failed(why, "private-address")
    if code in _NO_NAME:
        return Passing(f"the name {host} is not found", "name-not-found", few=True)
    if code == _TIMEOUT:
        return Passing("no byte came in time", "timeout")
    if code == _NO_CONNECTION:
        return Passing(f"not reachable ({words})", "not-reachable")
    if code in _CUT:
        return Passing("the connection was cut", "cut")
    if code in _TLS:
        return Failed(f"no secure connection ({words})", "tls")
    if code in _BAD_URL:
        return Failed("is, or leads to, no address of http or https", "bad-url")
    return Passing(f"a broken answer ({words})", "broken-answer")
