"""The files of a conversion whose records are rows, their names, and what is said of those that cannot be read."""

import os
from collections.abc import Iterator
from typing import IO, NamedTuple

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import clean_text
from sphinx_data.convert._tables import DELIMITED, TABLES
from sphinx_data.errors import InputError
from sphinx_data.sample import Reject

_PACKED = ("", ".gz", ".zst", ".bz2", ".xz", ".zip")
FILES = tuple(f"{kind}{packed}" for kind in (".json", ".jsonl", ".ndjson", *DELIMITED) for packed in _PACKED) + TABLES
ASIDE = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # what `datasets` writes beside


class File(NamedTuple):
    """A file to read: its path, the argument it belongs to, its name below that, its name for people."""

    path: str
    input: int
    name: str
    label: str


def files(inputs: Inputs, extensions: tuple[str, ...] = FILES) -> Iterator[File]:
    """The files given, and those below folders that are given, sorted. Raises InputError for a folder without any."""
    for number, path in enumerate(inputs.annotations):
        if not storage.local(path).is_dir():
            yield File(path, number, "", clean_text(os.path.basename(path)))
            continue
        found = 0
        for name, size in storage.list_files(path):
            known = name.lower().endswith(extensions) and os.path.basename(name) not in ASIDE
            if known and size >= 0 and name == clean_text(name):
                found += 1
                yield File(storage.join(path, name), number, name, name)
        if not found:
            raise InputError(f"{path}: has no file that ends in {', '.join(extensions[:8])}")


def unreadable(label: str, error: Exception) -> Reject:
    """The reject of a whole file."""
    return Reject(input=label, level="file", rule="file-damaged", detail=reason(label, error))


def reason(label: str, error: Exception) -> str:
    """What an InputError says of a file, as a sentence without the folders above the file."""
    name = os.path.basename(label)
    text = clean_text(str(error)).rpartition(f"{name}: ")[2]
    return f"{name} {text}." if text[:1].islower() else f"{text}."


def stem(name: str) -> str:
    """The name without its extensions: ``train-00000-of-00002`` of ``data/train-00000-of-00002.parquet``."""
    folder, slash, base = name.rpartition("/")
    for packed in _PACKED[1:]:
        base = base.removesuffix(packed)
    return f"{folder}{slash}{base.rpartition('.')[0] or base}"


def read(file: IO[bytes], offset: int, size: int) -> bytes:
    """Bytes of an open file."""
    return os.pread(file.fileno(), size, offset)
