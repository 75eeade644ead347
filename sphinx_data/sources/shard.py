"""A shard of fetched pictures as img2dataset writes it: ``00000.tar``, ``00000_stats.json`` and last ``00000.parquet``.

The tar holds ``KEY.jpg`` (or png, webp), ``KEY.txt`` and ``KEY.json``, the table a row for every URL, with the reason
where there is no picture. `convert --format img2dataset` and webdataset's tools read it.
"""

import os
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.dataset import tar

FAILED = "failed_to_download"
RESIZE = "failed_to_resize"
SUCCESS = "success"
_AT_ONCE = 1 << 20  # bytes of members that are written in one go


class Line(msgspec.Struct, kw_only=True):
    """A row of the table."""

    key: str
    url: str
    caption: str | None = None
    status: str = FAILED
    error_message: str | None = None  # REASON: in words
    width: int | None = None
    height: int | None = None
    original_width: int | None = None
    original_height: int | None = None
    sha256: str | None = None  # of the stored bytes


class Shard:
    """A shard that is being fetched; `commit` gives it its names."""

    def __init__(self, folder: str, number: int, size: int) -> None:
        self.base = os.path.join(folder, f"{number:05d}")
        self.number, self.left = number, size
        self.lines: dict[str, Line] = {}
        self._tar = storage.AtomicFile(f"{self.base}.tar")
        self._waiting: list[bytes] = []  # to be written, so that small pictures cost no call of the system each
        self._size = 0

    def add(self, line: Line, data: bytes = b"", extension: str = "") -> None:
        """One more row, and its picture where there is one."""
        self.lines[line.key] = line
        self.left -= 1
        if data:
            self._member(f"{line.key}.{extension}", data)
            if line.caption is not None:
                self._member(f"{line.key}.txt", line.caption.encode("utf-8", "replace"))
            self._member(f"{line.key}.json", msgspec.json.encode(line))

    def _member(self, name: str, data: bytes) -> None:
        self._waiting += (tar.header(name, len(data)), data, bytes(tar.padded(len(data)) - len(data)))
        self._size += len(data)
        if self._size >= _AT_ONCE:
            self._write()

    def _write(self) -> None:
        self._tar.write(b"".join(self._waiting))
        self._waiting, self._size = [], 0

    def keep(self, old: list[Line]) -> None:
        """Take over what an earlier run fetched; its tar is read to the end or to its damage."""
        wanted = {line.key: line for line in old if line.status == SUCCESS}
        pictures: dict[str, tuple[str, bytes]] = {}
        with suppress(OSError, tarfile.TarError), tarfile.open(f"{self.base}.tar") as archive:
            for member in archive:
                key, _, extension = member.name.partition(".")
                file = archive.extractfile(member)
                if key in wanted and extension not in ("txt", "json") and file is not None:
                    pictures[key] = (extension, file.read())
                    self.add(wanted[key], pictures.pop(key)[1], extension)

    def commit(self) -> dict[str, int]:
        """Give tar, counts and table their names, the table last; returns the counts."""
        self._write()
        self._tar.write(tar.END)
        self._tar.commit()
        lines = [self.lines[key] for key in sorted(self.lines)]
        found = counts(lines)
        storage.write_atomic(f"{self.base}_stats.json", msgspec.json.encode(_stats(lines, found)))
        storage.write_atomic(f"{self.base}.parquet", _parquet(lines))
        return found

    def discard(self) -> None:
        """Forget it."""
        self._tar.discard()


def counts(lines: list[Line]) -> dict[str, int]:
    """Reason -> rows; those with a picture are "success"."""
    found: dict[str, int] = {}
    for line in lines:
        reason = SUCCESS if line.status == SUCCESS else (line.error_message or line.status).partition(":")[0]
        found[reason] = found.get(reason, 0) + 1
    return dict(sorted(found.items()))


def _stats(lines: list[Line], found: dict[str, int]) -> dict[str, Any]:
    """What img2dataset writes, as far as it is a matter of fact."""
    return {"count": len(lines), "successes": found.get(SUCCESS, 0), "reasons": found,
            "failed_to_download": sum(line.status == FAILED for line in lines),
            "failed_to_resize": sum(line.status == RESIZE for line in lines)}  # fmt: skip


def _parquet(lines: list[Line]) -> bytes:
    import pyarrow
    import pyarrow.parquet as pq

    texts = dict.fromkeys(("key", "url", "caption", "status", "error_message", "sha256"), pyarrow.string())
    kinds = texts | dict.fromkeys(("width", "height", "original_width", "original_height"), pyarrow.int32())
    fields = [(name, kinds[name]) for name in Line.__struct_fields__]
    rows = [msgspec.structs.asdict(line) for line in lines]
    for row in rows:
        for name in ("url", "caption", "error_message"):
            if row[name] is not None:  # what UTF-8 cannot hold would stop the table
                row[name] = row[name].encode("utf-8", "replace").decode()
    sink = pyarrow.BufferOutputStream()
    pq.write_table(pyarrow.Table.from_pylist(rows, pyarrow.schema(fields)), sink, compression="zstd")
    return bytes(sink.getvalue())


def stored(folder: str, number: int) -> dict[str, int] | None:
    """The counts of a shard that is there: reason -> rows."""
    base = os.path.join(folder, f"{number:05d}")
    if not os.path.isfile(f"{base}.parquet"):
        return None
    try:
        found = msgspec.json.decode(Path(f"{base}_stats.json").read_bytes())["reasons"]
        return msgspec.convert(found, dict[str, int])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return counts(read(folder, number))


def read(folder: str, number: int) -> list[Line]:
    """The rows of a shard that is there; none where its table cannot be read."""
    import pyarrow
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(os.path.join(folder, f"{number:05d}.parquet"))
        return msgspec.convert(table.to_pylist(), list[Line])
    except (OSError, pyarrow.ArrowException, msgspec.ValidationError):
        return []
