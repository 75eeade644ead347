"""OpenImages' CSV files: which is which, and their rows as items that can be grouped by picture."""

import csv
import os
from collections.abc import Iterator
from typing import IO, Literal, NamedTuple

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._json_items import Item
from sphinx_data.errors import InputError
from sphinx_data.phrasing import english

_MASKS = ("MaskPath", "ImageID", "LabelName", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
_BOXES, _LABELS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"), ("ImageID", "LabelName", "Confidence")


class Lines:
    """A CSV file as items, to be grouped by picture; its fields hold no line breaks."""

    def __init__(self, path: str) -> None:
        self._file: IO[bytes] = open(storage.local(path), "rb")  # noqa: SIM115 - closed by __exit__
        self.header = fields(self._file.readline(1 << 16).removeprefix(b"\xef\xbb\xbf"))
        self._begin = self._file.tell()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)

    def items(self) -> Iterator[Item]:
        self._file.seek(self._begin)
        offset = self._begin
        for number, line in enumerate(self._file, 2):
            if line.strip():
                yield Item(f"line {number}", line.rstrip(b"\r\n"), offset)
            offset += len(line)


def fields(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace").replace("\0", "").rstrip("\r\n")
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        return []


class Files(NamedTuple):
    boxes: list[str]
    labels: list[str]
    masks: list[str]
    names: dict[str, str]  # LabelName -> readable


def files(inputs: Inputs) -> Files:
    """The files by their header. Raises InputError for one that is none of them, or without descriptions."""
    found = Files([], [], [], {})
    for place in inputs.annotations:
        listed = storage.list_files(place) if os.path.isdir(place) else ()
        inside = [storage.join(place, name) for name, _ in listed if name.lower().endswith(".csv")]
        for path in inside if os.path.isdir(place) else [place]:
            kind = kind_of(path)
            if kind == "names":
                found.names.update(_names(path))
            elif kind:
                {"boxes": found.boxes, "labels": found.labels, "masks": found.masks}[kind].append(path)
            elif not os.path.isdir(place):
                raise InputError(f"{path}: is no CSV of boxes, masks, image labels or class descriptions of OpenImages")
    if not found.boxes and not found.labels and not found.masks:
        raise InputError(f"{inputs.annotations[0]}: there is no CSV of boxes, masks or image labels of OpenImages")
    if not found.names:
        wanted = "class-descriptions-boxable.csv"
        raise InputError(f"{inputs.annotations[0]}: names of classes are missing; give {wanted} as well")
    return found


def kind_of(path: str) -> Literal["boxes", "labels", "masks", "names"] | None:
    if not path.lower().endswith(".csv") or not os.path.isfile(path):
        return None
    with Lines(path) as file:
        header = file.header
        if set(_MASKS) <= set(header):
            return "masks"
        if set(_BOXES) <= set(header):
            return "boxes"
        if set(_LABELS) <= set(header):
            return "labels"
    described = len(header) == 2 and (
        header[0].startswith(("/m/", "/g/", "/t/")) or header == ["LabelName", "DisplayName"]
    )
    return "names" if described else None


def _names(path: str) -> dict[str, str]:
    text = storage.read_bytes(path).decode("utf-8-sig", "replace")
    rows = [row for row in csv.reader(text.splitlines()) if len(row) == 2 and row[0].startswith("/") and row[1].strip()]
    return {key: english.lowered(english.readable(name)) for key, name in rows}
