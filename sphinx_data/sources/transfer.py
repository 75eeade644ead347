"""One file from a web server: in pieces, in parallel, resumable, under its final name only when it is whole.

Pieces of different versions of a file never meet: every request names the version (If-Range), every answer is compared,
and a server that tells no versions is read in one go unless a published checksum decides at the end.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import msgspec

from sphinx_data import storage
from sphinx_data.sources.hashes import PIECE, checksum
from sphinx_data.sources.http import Client, Failed, Passing
from sphinx_data.sources.part import Part

_BLOCK = 1 << 20  # bytes that are written at a time
_PIECES = 512  # that one system call takes
_PROGRESS = 1 << 16  # bytes that a try must bring not to count as one in vain
_ANEW = 3  # times that a file is begun again
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file to fetch."""

    url: str
    path: str  # where it will lie
    size: int | None = None  # exact
    checksum: str | None = None  # KIND:HEX
    mirrors: tuple[str, ...] = ()


class Got(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was fetched."""

    url: str
    size: int
    xxh3: str  # of its pieces, as `hashes.digest` makes it
    etag: str | None = None


class _Changed(Exception):
    """The file is not the one that was begun."""


class _Wrong(Exception):
    """The whole is not what was published."""


class _NoRanges(Exception):
    """The server cannot give pieces that belong together."""


class _Body:
    """The bytes of an answer, in portions as large as they come: nothing is joined, nothing is lost between them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._stream, self._rest = response.content, b""

    async def take(self, most: int) -> tuple[list[bytes], int]:
        """What comes next, at most `most` bytes and some _BLOCK, and how much it is: nothing at the end.

        What came before a cut is given first; the next call raises it again.
        """
        found: list[bytes] = []
        count = 0
        while count < min(_BLOCK, most) and len(found) < _PIECES:
            try:
                data = self._rest or await self._stream.readany()
            except (aiohttp.ClientError, TimeoutError, OSError):
                if found:
                    break
                raise
            if not data:
                break
            found.append(data[: most - count])
            self._rest = data[most - count :]
            count += len(found[-1])
        return found, count


class Transfer:
    """Fetches one file; `received` is told how many bytes came, negative where they were in vain."""

    def __init__(self, client: Client, wanted: Wanted, received: Callable[[int], None], connections: int = 4) -> None:
        self._client, self._wanted, self._connections = client, wanted, connections
        self._part = Part(wanted.path, received)
        self._ranges = True

    async def run(self) -> Got:
        """Fetch it from the first place that has it. Raises Failed, and OutputError for a full disk."""
        told: list[Failed] = []
        for url in (self._wanted.url, *self._wanted.mirrors):
            try:
                return await self._from(url)
            except Failed as error:
                told.append(error)
        raise Failed("; ".join(map(str, told)), told[-1].reason)

    async def _from(self, url: str) -> Got:
        self._ranges, why, wrong = True, "", 0
        for _ in range(_ANEW):
            try:
                await self._part.open(url, trusted=self._wanted.checksum is not None)
                await self._load()
                return await self._finished()
            except _NoRanges:
                self._ranges, why = False, "its ranges do not fit together"
            except _Changed as error:
                why = str(error)
            except _Wrong as error:
                why, wrong = str(error), wrong + 1
            finally:
                if self._ranges and self._part.count:
                    self._part.save()
                self._part.close()
            self._part.forget()
            if wrong == 2:  # the same wrong bytes twice are what the server has
                break
        raise Failed(f"{url}: {why}; see the homepage for another place, or try again later")

    async def _load(self) -> None:
        part = self._part
        if not self._ranges:
            return await self._patiently(self._whole)
        if part.state.size is None:
            await self._patiently(partial(self._piece, 0))
        missing = iter([number for number in range(part.pieces) if not part.complete(number)])

        async def work() -> None:
            for number in missing:
                await self._patiently(partial(self._piece, number))

        await together([work() for _ in range(self._connections)])

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step while it fails in ways that heal; tries that brought bytes are not counted."""
        tries = 0
        while True:
            before = self._part.count
            try:
                return await step()
            except Passing as error:
                tries = 1 if self._part.count - before >= _PROGRESS else tries + 1
                await self._client.pause(tries, error, self._part.state.url)

    async def _piece(self, number: int) -> None:
        """Fetch what is missing of a piece."""
        part, state = self._part, self._part.state
        start, end = number * PIECE + part.sizes.get(number, 0), part.end(number)
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        version = state.etag if state.etag and not state.etag.startswith("W/") else state.last_modified
        if version:
            headers["If-Range"] = version
        async with self._client.get(state.url, headers) as response:
            if response.status == 416:
                if state.size is None and response.headers.get("Content-Range", "").endswith("*/0"):
                    return self._learn(response, 0)
                raise _NoRanges if state.size is None else _Changed("it became shorter")
            if response.status == 200:
                if state.size is None:
                    return await self._stream(response)
                raise _Changed("it changed") if self._differs(response, response.content_length) else _NoRanges
            self._learn_piece(response, start)
            await self._read(_Body(response), number, part.end(number) - number * PIECE)
        if not part.complete(number):
            raise Passing("the connection was cut", "cut")

    def _learn_piece(self, response: aiohttp.ClientResponse, start: int) -> None:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != start:
            raise _NoRanges
        size = int(found[3])
        if self._part.state.size is None:
            self._learn(response, size)
            told = self._part.state.etag or self._part.state.last_modified or self._wanted.checksum
            if not told and size > PIECE:
                raise _NoRanges
        elif self._differs(response, size):
            raise _Changed("it changed while it was fetched")

    def _differs(self, response: aiohttp.ClientResponse, size: int | None) -> bool:
        """Whether an answer is of another version than the part. Headers that are missing say nothing."""
        state = self._part.state
        told = response.headers.get("ETag"), response.headers.get("Last-Modified")
        known = state.etag, state.last_modified
        if any(a != b for a, b in zip(told, known, strict=True) if a and b):
            return True
        return size is not None and size != state.size

    def _learn(self, response: aiohttp.ClientResponse, size: int | None) -> None:
        """Note size and version; refuse what cannot be the file before its bytes come."""
        wanted, url = self._wanted, self._part.state.url
        expected = wanted.size is not None and size == wanted.size
        page = response.content_type == "text/html" and not wanted.path.endswith((".html", ".htm"))
        if page and not expected and wanted.checksum is None:
            raise Failed(f"{url}: answers with a web page, not with the file; open it in a browser")
        if wanted.size is not None and size is not None and not expected:
            raise Failed(
                f"{url}: has {size:,} bytes where {wanted.size:,} are expected: the file was changed or cut by its "
                "publisher; see the homepage"
            )
        if size is not None:
            self._part.room(size)
        self._part.state.size = size
        self._part.state.etag = response.headers.get("ETag")
        self._part.state.last_modified = response.headers.get("Last-Modified")

    async def _whole(self) -> None:
        self._part.reset()
        async with self._client.get(self._part.state.url, {"Accept-Encoding": "identity"}) as response:
            await self._stream(response)

    async def _stream(self, response: aiohttp.ClientResponse) -> None:
        """Take the whole file from one answer; what came before is in vain."""
        self._ranges = False
        self._part.reset()
        self._learn(response, response.content_length)
        number, body = 0, _Body(response)
        while await self._read(body, number, PIECE):
            number += 1
        found = self._part.count
        if response.content_length is not None and found != response.content_length:
            raise Passing("the connection was cut", "cut")
        self._part.state.size = found

    async def _read(self, body: _Body, number: int, size: int) -> bool:
        """Store what comes until a piece has `size` bytes; False where the answer ended before."""
        while (have := self._part.sizes.get(number, 0)) < size:
            chunks, count = await body.take(size - have)
            if not count:
                return False
            await self._part.add(number, chunks, count)
        return True

    async def _finished(self) -> Got:
        """Check the whole and give it its name."""
        part, wanted = self._part, self._wanted
        size = part.state.size
        assert size is not None
        if wanted.size is not None and size != wanted.size:
            raise _Wrong(f"it has {size:,} bytes where {wanted.size:,} are expected")
        try:
            part.cut()
            if wanted.checksum and not await asyncio.to_thread(checksum, part.path, wanted.checksum):
                raise _Wrong(f"its {wanted.checksum.partition(':')[0]} is not the published one")
            xxh3 = await asyncio.to_thread(part.name)
        except OSError as error:
            raise storage.cannot_write(wanted.path, error) from None
        part.sizes = {}  # nothing is left to save
        return Got(url=part.state.url, size=size, xxh3=xxh3, etag=part.state.etag)


async def together(steps: list[Any]) -> None:
    """Run coroutines at once; the first error ends the others and is raised."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
