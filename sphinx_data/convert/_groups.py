"""Items of a file by a key, with flat memory: annotations by picture, questions by image."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from sphinx_data.convert._json_items import SPACE, Item, JsonFile, key_text
from sphinx_data.convert._sorted_rows import HELD, ROW, Rows, SortedRows

_LONGEST_KEY = 1024  # bytes in which the key of an item is sought
_AT_ONCE = 1 << 14
_LONGEST_NUMBER = 18  # digits of a key that is its own hash
_TOGETHER = 4096  # bytes an item, up to which several are read at once


class Grouped(NamedTuple):
    """An item of a group: its running number among all, its JSON, and the number that was noted with it."""

    number: int
    raw: bytes
    tag: int


class Groups:
    """Items of a file by a key, e.g. annotations by picture.

    Their text stays in the file, and 28 bytes an item in temporary files; in memory are `SortedRows.HELD` items and a
    bit for each.
    """

    def __init__(self, file: JsonFile, held: int = HELD) -> None:
        self._file = file
        self._rows = SortedRows(held)
        self._some: list[tuple[int, int, int, int, int]] = []
        self._count = 0
        self._numbered: SortedRows | None = None  # the rows by running number, once they are asked for
        self._taken = bytearray()  # a bit for each place in the order of keys: the group that begins there is taken

    def add(self, key: str | None, item: Item) -> None:
        """Note an item; None is a key too."""
        self._some.append((_hash(key), item.offset, len(item.raw), self._count, 0))
        self._count += 1
        if len(self._some) == _AT_ONCE:
            self._add_some()

    def extend(
        self, keys: Sequence[str | int | None], offsets: NDArray[np.int64], sizes: NDArray[np.int64],
        tags: Sequence[int],
    ) -> None:  # fmt: skip
        """Note many items at once. The number 7 and the text "7" are one key."""
        self._add_some()
        rows = np.empty(len(keys), ROW)
        rows["key"] = _hashes(keys)
        rows["offset"], rows["size"], rows["tag"] = offsets, sizes, tags
        rows["number"] = np.arange(self._count, self._count + len(keys))
        self._count += len(keys)
        self._rows.add(rows)

    def take(self, key: str | None) -> list[tuple[int, bytes]]:
        """(running number, JSON) of the key's items, in the order they were added; each is given once."""
        return [(number, raw) for number, raw, _ in self.take_tagged(key)]

    def take_tagged(self, key: str | None) -> list[Grouped]:
        """The same, with the tags."""
        self._finish()
        place, rows = self._rows.find(_hash(key))
        if not len(rows) or self._taken[place >> 3] >> (place & 7) & 1:
            return []
        self._taken[place >> 3] |= 1 << (place & 7)
        return self._read(rows)

    def by_key(self) -> Iterator[list[tuple[int, bytes]]]:
        """(running number, JSON) of the items of each key, keys in the order of their first item; None is a key too."""
        self._finish()
        groups, place = SortedRows(), 0
        for starts, rows in self._with_starts():
            first = np.empty(int(starts.sum()), ROW)
            first["key"] = rows["number"][starts]
            first["offset"] = place + np.flatnonzero(starts)
            groups.add(first)
            place += len(rows)
        for block in groups.blocks():
            for low in block["offset"].tolist():
                _, rows = self._rows.find(int(self._rows.read(low, low + 1)["key"][0]))
                yield [(number, raw) for number, raw, _ in self._read(rows)]

    def place(self, number: int) -> str:
        """The key in front of an item that is the member of an object, else its running number."""
        self._finish()
        if self._numbered is None:
            self._numbered = _by_number(self._rows.blocks())
        offset = int(self._numbered.read(number, number + 1)["offset"][0])
        start = max(0, offset - _LONGEST_KEY)
        before = self._file.read(start, offset - start).rstrip(SPACE)
        if not before.endswith(b":"):
            return str(number)
        before = before[:-1].rstrip(SPACE)
        end = begin = len(before) - 1
        while begin > 0:  # back to the quote that no backslash stands before
            begin = before.rfind(b'"', 0, begin)
            if (begin - len(before[:begin].rstrip(b"\\"))) % 2 == 0:
                break
        return key_text(before[begin + 1 : end])

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """The items that nobody took, in the order they were added."""
        self._finish()
        left = _by_number(self._untaken())
        for block in left.blocks():
            for start in range(0, len(block), _AT_ONCE):
                yield from ((number, raw) for number, raw, _ in self._read(block[start : start + _AT_ONCE]))

    def _untaken(self) -> Iterator[Rows]:
        place, is_taken = 0, False
        for starts, rows in self._with_starts():
            bits = np.unpackbits(
                np.frombuffer(self._taken, np.uint8)[place >> 3 : (place + len(rows) >> 3) + 1], bitorder="little"
            )
            begins = np.maximum.accumulate(np.where(starts, np.arange(len(rows)), -1))
            taken = np.where(begins < 0, is_taken, bits[(place & 7) + np.maximum(begins, 0)] == 1)
            yield rows[~taken]
            place, is_taken = place + len(rows), bool(taken[-1])

    def _with_starts(self) -> Iterator[tuple[NDArray[np.bool_], Rows]]:
        """Rows in the order of keys, and which of them begin a group."""
        before = None
        for rows in self._rows.blocks():
            keys = rows["key"]
            starts = np.r_[before is None or keys[0] != before, keys[1:] != keys[:-1]]
            before = keys[-1]
            yield starts, rows

    def _read(self, rows: Rows) -> list[Grouped]:
        found = rows.tolist()
        begin, end, read = found[0][1], found[-1][1] + found[-1][2], self._file.read
        if len(found) > 1 and 0 < end - begin <= _TOGETHER * len(found):  # they lie side by side
            text = read(begin, end - begin)
            pieces = [text[offset - begin : offset - begin + size] for _, offset, size, _, _ in found]
            if [len(piece) for piece in pieces] == [row[2] for row in found]:
                return [Grouped(row[3], piece, row[4]) for row, piece in zip(found, pieces, strict=True)]
        return [Grouped(number, read(offset, size), tag) for _, offset, size, number, tag in found]

    def _add_some(self) -> None:
        if self._some:
            self._rows.add(np.array(self._some, ROW))
            self._some = []

    def _finish(self) -> None:
        if self._some or not self._taken:
            self._add_some()
            self._taken = bytearray((self._count >> 3) + 1)


def _by_number(blocks: Iterator[Rows]) -> SortedRows:
    found = SortedRows()
    for rows in blocks:
        again = rows.copy()
        again["key"] = rows["number"]
        found.add(again)
    return found


def _hashes(keys: Sequence[str | int | None]) -> NDArray[np.uint64]:
    if set(map(type, keys)) == {int}:
        numbers = np.array(keys)  # of objects where one is too large
        if numbers.dtype == np.int64 and numbers.min() >= 0 and numbers.max() < 10**_LONGEST_NUMBER:
            return numbers.astype(np.uint64) * np.uint64(2) + np.uint64(2)
    return np.array([_hash(None if key is None else str(key)) for key in keys], np.uint64)


def _hash(key: str | None) -> int:
    """Even for a number, as `_hashes` has it; odd for other text; 0 is kept for None."""
    if key is None:
        return 0
    if key.isdigit() and key.isascii() and len(key) <= _LONGEST_NUMBER and (key[0] != "0" or key == "0"):
        return 2 * int(key) + 2
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "replace")) | 1
