"""Compressed files as plain ones: gzip, zstd, bzip2, xz, and zip archives of one file, told by their first bytes."""

import bz2
import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from typing import IO, Any

from sphinx_data import storage
from sphinx_data.errors import InputError

_WINDOW = 4 << 20
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip"}
_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def packing(path: str) -> str | None:
    """How a file is compressed, by its first bytes; None for a plain one. Raises InputError where it is not there."""
    try:
        with open(storage.local(path), "rb") as file:
            head = file.read(6)
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give the file of annotations in it, and --images DIR") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def plain(path: str) -> IO[bytes]:
    """The file, open for reading and seeking; a compressed one is unpacked into a temporary file, on disk.

    Raises InputError naming file and fault.
    """
    kind = packing(path)
    try:
        if kind is None:
            return open(storage.local(path), "rb")
        unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        with opened(path) as packed:
            shutil.copyfileobj(packed, unpacked, _WINDOW)
        unpacked.seek(0)
        return unpacked
    except _DAMAGE as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def opened(path: str) -> Any:
    """The plain bytes as a stream, without a temporary file. Damage shows while it is read."""
    kind, place = packing(path), storage.local(path)
    if kind == "gzip":
        return gzip.open(place)
    if kind == "bzip2":
        return bz2.open(place)
    if kind == "xz":
        return lzma.open(place)
    if kind == "zstd":
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.OSFile(str(place)), "zstd")
    if kind == "zip":
        try:
            archive = zipfile.ZipFile(place)
        except zipfile.BadZipFile:
            raise InputError(f"{path}: is a damaged zip; get it again") from None
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(files) != 1:
            raise InputError(f"{path}: holds {len(files)} files; unpack it and give its files or its folder")
        return archive.open(files[0])
    return open(place, "rb")


def head(path: str, size: int) -> bytes:
    """The first plain bytes of a file, as many as can be unpacked."""
    out = b""
    try:
        with opened(path) as file:
            while len(out) < size and (piece := file.read(min(size - len(out), 1 << 16))):
                out += piece
    except (*_DAMAGE, InputError):
        pass
    return out
