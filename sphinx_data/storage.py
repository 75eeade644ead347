"""Bytes by place: ranges, listings and atomic commits. Every file of a dataset goes through here.

Places are strings, so that URLs can join local paths without a change elsewhere; today only local paths are served.
"""

import errno
import mmap
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TypeVar

from sphinx_data.errors import InputError, OutputError, SphinxError, UsageError

T = TypeVar("T")

_TEMPORARY = ".tmp-"
_SYNC_EVERY = 16 << 20  # bytes
_PIECES = 1024  # that one system call takes
_BUFFER = 1 << 18  # bytes of small writes that become one
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


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


def read_known(place: str, size: int) -> bytes:
    """A file that should have `size` bytes, with few system calls; what it really has. Raises OSError."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, size + 1)
        while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):  # a signal, or over 2 GiB
            data += more
        return data
    finally:
        os.close(descriptor)


def view(place: str | Path) -> memoryview:
    """A whole file as mapped memory, for files too large to hold. Raises InputError when it cannot be read."""
    try:
        with open(local(place), "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}") from None


def list_files(place: str | Path) -> Iterator[tuple[str, int]]:
    """Every file below a folder as (relative name, bytes), sorted; temporary files are left out.

    Links are followed, but not to a folder that they lie in. What is no regular file has -1 bytes: links to nowhere,
    pipes. Raises InputError for a folder that cannot be listed.
    """
    root = local(place)
    for folder, folders, files in os.walk(root, onerror=_cannot_list, followlinks=True):
        folders[:] = sorted(name for name in folders if not _leads_up(os.path.join(folder, name)))
        for name in sorted(files):
            if not name.startswith(_TEMPORARY):
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), path.stat().st_size if path.is_file() else -1


def _cannot_list(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror or error})")


def _leads_up(folder: str) -> bool:
    """Whether a folder is a link to one that it lies in."""
    if not os.path.islink(folder):
        return False
    real = os.path.realpath(folder)
    return os.path.commonpath([real, os.path.realpath(os.path.dirname(folder))]) == real


def cannot_write(place: str | Path, error: OSError) -> SphinxError:
    """What to tell a person whose file could not be written."""
    reason = error.strerror or error
    if error.errno in NO_ROOM:
        return OutputError(f"{place}: cannot be written ({reason}); make room and run the same command again")
    return UsageError(f"{place}: cannot be written ({reason}); use another place")


class AtomicFile:
    """A file that appears under its name whole and synced on `commit`, and never otherwise."""

    def __init__(self, place: str | Path) -> None:
        self._final, self._temporary = _names(place)
        try:
            self._file = open(self._temporary, "wb", _BUFFER)  # noqa: SIM115 (closed by commit and discard)
        except OSError as error:
            raise cannot_write(place, error) from None
        self._unsynced = 0
        self._syncing: threading.Thread | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; the disk begins to store them while more are made, so that `commit` has little to wait for."""
        try:
            self._file.write(data)
        except OSError as error:
            raise cannot_write(self._final, error) from None
        self._unsynced += len(data)
        self._sync_early()

    def _sync_early(self) -> None:
        if self._unsynced >= _SYNC_EVERY and not (self._syncing and self._syncing.is_alive()):
            self._unsynced = 0
            self._syncing = threading.Thread(target=_sync_early, args=(self._file.fileno(),), daemon=True)
            self._syncing.start()

    def write_all(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Append many pieces in few calls, without joining them."""
        try:
            self._file.flush()
            for start in range(0, len(chunks), _PIECES):
                pieces = chunks[start : start + _PIECES]
                done, size = os.writev(self._file.fileno(), pieces), sum(map(len, pieces))
                if done < size:  # a disk that is nearly full, or a signal: the rest in the ordinary way
                    self._file.write(b"".join(pieces)[done:])
                    self._file.flush()
                self._unsynced += size
        except OSError as error:
            raise cannot_write(self._final, error) from None
        self._sync_early()

    def written(self) -> memoryview:
        """What was written so far, as mapped memory."""
        self._file.flush()
        return view(self._temporary)

    def commit(self) -> None:
        """Sync and rename into place."""
        try:
            self._file.flush()
            self._wait()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._final)
            _sync_folder(self._final.parent)
        except OSError as error:
            raise cannot_write(self._final, error) from None

    def discard(self) -> None:
        """Forget what was written."""
        self._wait()
        with suppress(OSError):  # closing writes what is left, which a full disk refuses again
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _wait(self) -> None:
        if self._syncing is not None:
            self._syncing.join()


class Scratch:
    """A nameless file in the system's temporary folder, for what does not fit into memory; gone with its last use."""

    def __init__(self) -> None:
        self._file = self._or_no_room(tempfile.TemporaryFile)
        self.size = 0  # bytes

    def append(self, data: bytes) -> None:
        """Add bytes at the end. Raises OutputError where there is no room."""
        self._or_no_room(lambda: self._file.write(data))
        self.size += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that were appended."""
        self._or_no_room(self._file.flush)
        return os.pread(self._file.fileno(), size, offset)

    def _or_no_room(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise cannot_write(tempfile.gettempdir(), error) from None


def write_atomic(place: str | Path, data: bytes) -> None:
    """Write a whole file atomically."""
    file = AtomicFile(place)
    try:
        file.write(data)
        file.commit()
    except BaseException:
        file.discard()
        raise


def create_exclusive(place: str | Path, data: bytes) -> bool:
    """Write a file atomically unless it exists already; False when somebody was first."""
    final, temporary = _names(place)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, final)  # unlike rename, link fails when the name is taken
    except FileExistsError:
        return False
    except OSError as error:
        raise cannot_write(place, error) from None
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(final.parent)
    return True


def remove(place: str | Path) -> None:
    """Delete a file if it is there."""
    local(place).unlink(missing_ok=True)


def remove_tree(place: str | Path) -> None:
    """Delete a folder and everything in it."""
    shutil.rmtree(local(place))


def remove_temporaries(place: str | Path) -> None:
    """Delete what interrupted writers left below a folder."""
    for path in local(place).rglob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def _names(place: str | Path) -> tuple[Path, Path]:
    final = local(place)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(final.parent, error) from None
    return final, final.with_name(f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}-{final.name}")


def _sync_early(descriptor: int) -> None:
    with suppress(OSError):  # `commit` syncs again and says what is wrong
        os.fdatasync(descriptor)


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
        self._files: OrderedDict[str, FileIO] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, place: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`. Raises InputError when the file is missing or shorter."""
        try:
            file = self._files.get(place) or self._opened(place)
            data = os.pread(file.fileno(), length, offset)
        except OSError as error:
            raise InputError(f"{place}: {error.strerror or error}") from None
        if len(data) != length:
            has, needs = os.fstat(file.fileno()).st_size, offset + length
            raise InputError(f"{place}: has {has} bytes, the index needs {needs}; run sphinx-data verify")
        return data

    def _opened(self, place: str) -> FileIO:
        with self._lock:
            if place not in self._files:
                self._files[place] = FileIO(os.fspath(local(place)))
                if len(self._files) > self._limit:
                    self._files.popitem(last=False)  # closed when the last thread that reads it lets go
            return self._files[place]

    def __getstate__(self) -> dict[str, int]:
        return {"limit": self._limit}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["limit"])  # type: ignore[misc]
