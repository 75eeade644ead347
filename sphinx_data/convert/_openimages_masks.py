"""OpenImages' masks: a CSV that names a PNG an object, and what the PNG holds."""

import io
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image

from sphinx_data import media, rle, storage
from sphinx_data.convert._common import MISSING, Media, RejectedError, find_media
from sphinx_data.convert._groups import Groups
from sphinx_data.convert._json_items import Item, JsonFile
from sphinx_data.convert._openimages_files import Lines, fields
from sphinx_data.sample import Struct

_SPLITS = ("train", "validation", "test")
_SIDES = ("BoxXMin", "BoxYMin", "BoxXMax", "BoxYMax")
_ROUNDING = 1e-4  # in shares of the picture, by which the two files of one object differ


class MaskRow(Struct, frozen=True, kw_only=True):
    """One object of the file of masks."""

    place: str
    label_name: str
    sides: tuple[str, str, str, str]
    mask: Media


class MaskFile(NamedTuple):
    """A file of masks, open, by picture."""

    lines: Lines
    columns: dict[str, int]
    groups: Groups

    @classmethod
    def opened(cls, path: str) -> "MaskFile":
        """Read it once, to know which rows are about a picture."""
        lines = Lines(path)
        columns = {column: index for index, column in enumerate(lines.header)}
        groups = Groups(cast(JsonFile, lines))
        found = cls(lines, columns, groups)
        for item in lines.items():
            groups.add(found.image_of(item), item)
        return found

    def image_of(self, item: Item) -> str | None:
        """The picture of a row; None where it names none."""
        return self._said(item.raw).get("ImageID") or None

    def take(self, image: str, root: str) -> list[MaskRow]:
        """The masks of a picture, once."""
        return [self._row(f"mask row {number}", raw, root) for number, raw in self.groups.take(image)]

    def _said(self, raw: bytes) -> dict[str, str]:
        return dict(zip(self.columns, fields(raw), strict=False))

    def _row(self, place: str, raw: bytes, root: str) -> MaskRow:
        said = self._said(raw)
        sides = tuple(said.get(key, "") for key in _SIDES)
        return MaskRow(
            place=place, label_name=said.get("LabelName", ""), sides=cast(tuple[str, str, str, str], sides),
            mask=find_media(root, *_places(said.get("MaskPath", ""), said.get("ImageID", ""))),
        )  # fmt: skip


def _places(name: str, image: str) -> Iterator[str]:
    """Where a mask may lie: as named, in ``masks``, in folders by first letter, in those of the 16 archives."""
    letter = image[:1]
    yield from (name, f"masks/{name}", f"masks/{letter.upper()}/{name}", f"labels/masks/{letter.upper()}/{name}")
    for split in _SPLITS:
        yield from (f"{split}-masks/{name}", f"{split}-masks-{letter}/{name}", f"masks/{split}-masks-{letter}/{name}")


def is_of(row: MaskRow, label_name: str, sides: tuple[str, ...]) -> bool:
    """Whether a mask is of the object in this box."""
    try:
        apart = [abs(float(one) - float(other)) for one, other in zip(row.sides, sides, strict=True)]
    except ValueError:
        return False
    return row.label_name == label_name and max(apart) <= _ROUNDING


def segmentation(found: Media, places: dict[str, str], width: int, height: int) -> dict[str, Any]:
    """A mask in COCO's form, for a picture of this size: masks are published smaller or larger than pictures.

    Raises RejectedError.
    """
    if found.size == MISSING:
        raise RejectedError("mask-missing", f"{found.name} is not in the folder of pictures.")
    try:
        data = storage.read_known(storage.join(places["images"], found.name), found.size)
        media.check_image(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(Image.open(io.BytesIO(data), formats=["PNG"]).convert("L")) > 0
    except (OSError, ValueError, SyntaxError, MemoryError, media.DamagedImage) as error:
        raise RejectedError("mask-damaged", f"{found.name} cannot be read: {error}.") from None
    rows = ((np.arange(height) + 0.5) * pixels.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * pixels.shape[1] / width).astype(np.int64)
    whole = pixels[rows][:, columns]
    if not whole.any():
        raise RejectedError("mask-empty", f"{found.name} has no pixel inside.")
    return {"size": [height, width], "counts": rle.write(rle.from_array(whole))}
