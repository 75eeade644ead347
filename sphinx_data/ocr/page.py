"""A page as its reader hands it on: everything that questions can be made of. It crosses processes."""

import pickle
from typing import Any, NamedTuple

import msgspec

from sphinx_data.ocr.clean import Verdict
from sphinx_data.ocr.tables import Grid
from sphinx_data.ocr.text import Line

Box = tuple[float, float, float, float]


class Shown(NamedTuple):
    """What else a page shows, in pixels, clipped to it."""

    pictures: tuple[Box, ...]
    drawings: tuple[Box, ...]  # of paths that belong to no closed table and are no single rule; tables of level rules


class Page(NamedTuple):
    """A page that can be asked about."""

    number: int  # from 0
    pages: int  # of the document
    lines: list[Line]  # in the order of the text layer, or that in which an engine's lines are read
    complete: bool  # all text of the picture is in `lines`
    dropped: list[Verdict]
    media: bytes
    extension: str
    size: tuple[int, int]  # width and height of `media`
    meta: dict[str, Any]
    graphics: Shown | None = None  # None where the page does not tell
    grids: tuple[Grid, ...] = ()
    outline: tuple[str, ...] = ()  # titles of the outline that lead to this page
    title: str | None = None  # of the document, as its metadata say
    author: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """As MessagePack, in half of the time that tuples in tuples take, and the picture as it is."""
        return _unpacked, (_encode(self._replace(media=b"")), pickle.PickleBuffer(self.media))


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Page)


def _unpacked(data: bytes, media: bytes) -> Page:
    return _decoder.decode(data)._replace(media=media)
