"""Bytes by place: ranges, listings and atomic commits. Every file of a dataset goes through here.

Places are strings, so that URLs can join local paths without a change elsewhere; today only local paths are served.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sphinx_data.errors import InputError, UsageError

_TEMPORARY = ".tmp-"


def local(place: str | Path) -> Path:
    """The local path of a place. Raises UsageError for a URL, which no version serves yet."""
    text = os.fspath(place)
    if "://" in text:
        raise UsageError(f"{text}: URLs are not served yet; copy it to a local path")
    return Path(text)


def join(place: str | Path, *parts: str) -> str:
    """A place below another."""
    return "/".join([os.fspath(place).rstrip("/") or "/", *parts])


def exists(place: str | Path) -> bool:
    """Whether a file or folder is there."""
    return local(place).exists()


def size(place: str | Path) -> int:
    """Bytes of a file. Raises InputError when it is not there."""
    try:
        return local(place).stat().st_size
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}") from None


def read_bytes(place: str | Path) -> bytes:
    """A whole file. Raises InputError when it cannot be read."""
    try:
        return local(place).read_bytes()
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}") from None


def list_files(place: str | Path) -> Iterator[tuple[str, int]]:
    """Every file below a folder as (relative name, bytes), sorted; temporary files are left out."""
    root = local(place)
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if not name.startswith(_TEMPORARY):
                yield path.relative_to(root).as_posix(), path.stat().st_size


@contextmanager
def atomic_file(place: str | Path) -> Iterator[BinaryIO]:
    """A file that appears under its name whole, synced and only on success; an error leaves nothing."""
    final = local(place)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}-{final.name}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(final.parent)


def write_atomic(place: str | Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_file(place) as file:
        file.write(data)


def create_exclusive(place: str | Path, data: bytes) -> bool:
    """Write a file atomically unless it exists already; False when somebody was first."""
    final = local(place)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}-{final.name}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, final)  # unlike rename, link fails when the name is taken
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(final.parent)
    return True


def remove(place: str | Path) -> None:
    """Delete a file if it is there."""
    local(place).unlink(missing_ok=True)


def remove_temporaries(place: str | Path) -> None:
    """Delete what interrupted writers left below a folder."""
    for path in local(place).rglob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RangeReader:
    """Positioned reads from many files and many threads; keeps the last `limit` files open."""

    def __init__(self, limit: int = 128) -> None:
        self._limit = limit
        self._open: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, place: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`. Raises InputError when the file is missing or shorter."""
        try:
            data = os.pread(self._descriptor(place), length, offset)
        except OSError as error:
            raise InputError(f"{place}: {error.strerror or error}") from None
        if len(data) != length:
            raise InputError(f"{place}: ends at byte {offset + len(data)}, the index needs {offset + length}; run verify")
        return data

    def _descriptor(self, place: str) -> int:
        descriptor = self._open.get(place)
        if descriptor is not None:
            return descriptor
        with self._lock:
            if place not in self._open:
                if len(self._open) >= self._limit:
                    # the oldest may still be in use by another thread, so only forget files beyond twice the limit
                    self._close_oldest()
                self._open[place] = os.open(local(place), os.O_RDONLY)
            return self._open[place]

    def _close_oldest(self) -> None:
        _, descriptor = self._open.popitem(last=False)
        os.close(descriptor)

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            while self._open:
                self._close_oldest()

    def __getstate__(self) -> dict[str, int]:
        return {"limit": self._limit}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["limit"])  # type: ignore[misc]
