"""Where the children of a JSON list or object lie: found by brackets and quotes, a window of the file at a time."""

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.errors import InputError

SPACE = b" \t\r\n"
_WINDOW = 1 << 20
_WIDEST_GAP = 64  # bytes between two items of a list that is looked at many items at a time
_LONGEST_WAIT = 4096
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s,:"]+|[:,]', re.DOTALL)
_KEY = re.compile(rb'\s*,?\s*"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_STEP = np.zeros(256, np.int8)  # what a character does to the depth
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1
_NOTED = _STEP != 0
_NOTED[b'"'[0]] = True
_BACKSLASH = b"\\"[0]
_QUOTE = b'"'[0]

Read = Callable[[int, int], bytes]  # offset, size


class Span(NamedTuple):
    """A child of a container; `raw` only where it lay in the window at hand."""

    place: str
    offset: int
    size: int
    raw: bytes = b""


class Run(NamedTuple):
    """Objects or lists that follow each other in a list: starts and ends in `text`, which lies at `base`."""

    first: int  # position of the first in the list
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    text: bytes
    base: int

    def spans(self) -> Iterator[Span]:
        """Each of them."""
        text, base = self.text, self.base
        for number, (start, end) in enumerate(zip(self.starts.tolist(), self.ends.tolist(), strict=True), self.first):
            yield Span(str(number), base + start, end - start, text[start:end])

    def as_list(self) -> bytes:
        """JSON of a list of them."""
        return b"[" + self.text[int(self.starts[0]) : int(self.ends[-1])] + b"]"


class Window(NamedTuple):
    """A piece of the file with its brackets outside strings."""

    base: int  # offset of `text`
    text: bytes
    places: NDArray[np.int64]  # of brackets that lead to or from depth 0 or 1, in `text`
    depths: NDArray[np.int64]  # after each of them


def windows(offset: int, size: int, read: Read) -> Iterator[Window]:
    """A file of `size` bytes from `offset` on, which is at depth 0."""
    depth, quoted, escaped = 0, False, False
    while offset < size and (text := read(offset, _WINDOW)):
        places, depths, quoted, escaped = _brackets(text, depth, quoted, escaped)
        if depths.size:
            before = np.empty_like(depths)
            before[0], before[1:] = depth, depths[:-1]
            near = np.flatnonzero(np.minimum(depths, before) <= 1)
            depth = int(depths[-1])
            places, depths = places[near], depths[near]
        yield Window(offset, text, places, depths)
        offset += len(text)


class Children:
    """Follows the brackets around one container and tells its children, scalars in the gaps included."""

    def __init__(self, path: str, read: Read) -> None:
        self._path, self._read = path, read
        self._named = False  # an object, whose children have keys
        self._end = 0  # of the last child
        self._start = 0  # of the child that is open
        self._count = 0
        self._key = ""
        self._wait = self._misses = 0  # children to go, and failures so far, before runs are sought again
        self.begun = self.done = False

    @property
    def end(self) -> int:
        """Offset behind the container, once it is `done`."""
        return self._end

    def follow(self, window: Window) -> Iterator[Span | Run]:
        """The children that end in a window, until the container is `done`."""
        places, depths = window.places.tolist(), window.depths.tolist()
        index = 0
        while index < len(places) and not self.done:
            yield from self._bracket(places[index] + window.base, depths[index], window)
            index += 1
            if self.begun and not self._named and depths[index - 1] == 1:
                self._wait -= 1
                if self._wait < 0:
                    run = self._run(window, index)
                    self._misses = 0 if run else self._misses + 1
                    self._wait = min(2**self._misses, _LONGEST_WAIT) - 1
                    if run:
                        yield run
                        index += 2 * len(run.starts)

    def _run(self, window: Window, index: int) -> Run | None:
        """The children from this bracket on that follow each other with equal gaps, where they are several."""
        depths = window.depths[index:]
        pairs = len(depths) // 2
        regular = (depths[: 2 * pairs : 2] == 2) & (depths[1 : 2 * pairs : 2] == 1)
        pairs = pairs if regular.all() else int(np.argmin(regular))
        starts = window.places[index : index + 2 * pairs : 2]
        ends = window.places[index + 1 : index + 2 * pairs : 2] + 1
        begin = self._end - window.base  # of the gap before the first
        if not pairs or begin < 0:
            return None
        width = int(starts[0]) - begin
        gap = window.text[begin : begin + width]
        if width > _WIDEST_GAP or gap.strip(SPACE) not in (b"", b","):
            return None
        equal = starts - np.r_[begin, ends[:-1]] == width
        characters = np.frombuffer(window.text, np.uint8)
        for place in range(width):
            equal &= characters[np.maximum(starts - width + place, 0)] == gap[place]
        pairs = pairs if equal.all() else int(np.argmin(equal))
        if pairs < 2:
            return None
        first, self._count = self._count, self._count + pairs
        self._end = window.base + int(ends[pairs - 1])
        return Run(first, starts[:pairs], ends[:pairs], window.text, window.base)

    def _bracket(self, place: int, depth: int, window: Window) -> Iterator[Span]:
        """A bracket that leads to or from depth 0 or 1; `depth` is the one after it."""
        base = window.base

        def text(start: int, end: int) -> bytes:
            return window.text[start - base : end - base] if start >= base else self._read(start, end - start)

        opens = window.text[place - base] in b"[{"
        if depth == 1 and opens:
            if self._end and text(self._end, place).strip(SPACE):
                raise InputError(f"{self._path}: is not valid JSON at byte {self._end}")
            self.begun, self._named, self._end = True, window.text[place - base] in b"{", place + 1
        elif depth == 2 and opens:
            yield from self._gap(text(self._end, place))
            self._start = place
        elif depth == 1:
            raw = window.text[self._start - base : place + 1 - base] if self._start >= base else b""
            yield self._child(self._start, place + 1 - self._start, raw)
            self._end = place + 1
        elif depth == 0:
            yield from self._gap(text(self._end, place))
            self.done, self._end = True, place + 1
        elif depth < 0:
            raise InputError(f"{self._path}: is not valid JSON at byte {place}: a bracket closes nothing")

    def _child(self, offset: int, size: int, raw: bytes) -> Span:
        self._count += 1
        return Span(self._key if self._named else str(self._count - 1), offset, size, raw)

    def _gap(self, gap: bytes) -> Iterator[Span]:
        """What stands between two containers: a comma, the next key, and any scalars."""
        if not self._named and gap.strip(SPACE) in (b"", b","):
            return
        if self._named and (match := _KEY.fullmatch(gap)):
            self._key = key_text(match[1])
            return
        is_value = not self._named
        for match in _TOKEN.finditer(gap):
            token = match[0]
            if token == b":":
                is_value = True
            elif token == b",":
                is_value = not self._named
            elif is_value:
                yield self._child(self._end + match.start(), len(token), token)
                is_value = not self._named
            else:
                self._key = key_text(token.strip(b'"'))


def _brackets(
    window: bytes, depth: int, quoted: bool, escaped: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool, bool]:
    """Brackets outside strings: places in the window, the depth after each, and the state for the next window."""
    characters = np.frombuffer(window, np.uint8)
    # one bit operation keeps all brackets and little else; the table is for what is left
    places = np.flatnonzero(((characters | 0x26) == 0x7F) | (characters == _QUOTE))
    places = places[_NOTED[characters[places]]]
    if escaped or b"\\" in window:
        places = places[~_is_escaped(characters, places, escaped)]
    kinds = _STEP[characters[places]]
    quotes = kinds == 0
    count = np.cumsum(quotes, dtype=np.int32)
    brackets = np.flatnonzero(~quotes & ((count + quoted) % 2 == 0))
    trailing = len(window) - len(window.rstrip(b"\\"))
    ends_escaped = (trailing + (escaped if trailing == len(window) else 0)) % 2 == 1
    ends_quoted = bool(((int(count[-1]) if count.size else 0) + quoted) % 2)
    return places[brackets], depth + np.cumsum(kinds[brackets], dtype=np.int64), ends_quoted, ends_escaped


def _is_escaped(characters: NDArray[np.uint8], places: NDArray[np.int64], escaped: bool) -> NDArray[np.bool_]:
    """Whether an odd number of backslashes stands before each place."""
    found = np.zeros(places.size, bool)
    alive = np.arange(places.size)
    back = 1
    while alive.size:
        before = places[alive] - back
        first = before < 0
        if escaped:
            found[alive[first]] ^= True
        alive, before = alive[~first], before[~first]
        alive = alive[characters[before] == _BACKSLASH]
        found[alive] ^= True
        back += 1
    return found


def key_text(raw: bytes) -> str:
    """A key, without its quotes, as text that UTF-8 can hold."""
    try:
        text = str(json.loads(b'"' + raw + b'"')) if b"\\" in raw else raw.decode()
    except ValueError:
        text = raw.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode("utf-8")
