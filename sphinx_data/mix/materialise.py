"""A virtual dataset as shards in training order: bytes copied, unless pictures must become smaller."""

from collections.abc import Iterator
from functools import lru_cache

import msgspec
import numpy as np

from sphinx_data import media, rle
from sphinx_data.dataset.reader import Dataset, Example, open_dataset
from sphinx_data.executors.build import Item, Stored
from sphinx_data.sample import Built, Mask, Region, Reject, Sample, Struct

RUN = 256  # positions of a record


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``materialise``."""

    max_side: int | None = None  # longest side of a picture in pixels; regions follow


class Record(Struct, frozen=True, kw_only=True):
    """A run of consecutive positions."""

    first: int
    count: int
    weight: int  # bytes


def records(dataset: Dataset) -> Iterator[Record]:
    """The planning pass: runs of positions with their bytes."""
    sizes = dataset.table(["size"])["size"].to_numpy()
    starts = np.arange(0, len(sizes), RUN)
    weights = np.add.reduceat(sizes, starts) if len(sizes) else sizes
    for first, weight in zip(starts.tolist(), weights.tolist(), strict=True):
        yield Record(first=first, count=min(RUN, len(sizes) - first), weight=weight)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Item]:
    """The samples of a run as they are stored, or with smaller pictures.

    `places` holds the dataset and, as ``root:NAME``, where its sources lie. Raises InputError for a sample whose bytes
    are not the ones that were indexed.
    """
    roots = tuple((name.removeprefix("root:"), place) for name, place in places.items() if name.startswith("root:"))
    dataset = _open(places["dataset"], roots)
    for position in range(record.first, record.first + record.count):
        example = dataset[position]
        if options.max_side is None:
            yield Stored(example, dataset.content(position))
        else:
            yield _shrunk(example, options.max_side)


@lru_cache(maxsize=2)
def _open(directory: str, roots: tuple[tuple[str, str], ...]) -> Dataset:
    return open_dataset(directory, dict(roots))


def _shrunk(example: Example, max_side: int) -> Built | Reject:
    """The sample with smaller pictures and its regions scaled, or a reject for a picture that cannot be decoded."""
    sample = example.sample
    try:
        pictures = [media.shrink_image(bytes(image), max_side) for image in example.images]
    except media.DamagedImage as error:
        return Reject(
            input=sample.origin.file, record=sample.origin.record, id=sample.id, level="image", rule=error.rule,
            detail=error.detail,
        )  # fmt: skip
    images = tuple(
        msgspec.structs.replace(image, file=f"{number}.{made.extension}", width=made.width, height=made.height)
        for number, (image, made) in enumerate(zip(sample.images, pictures, strict=True))
    )
    regions = tuple(_scaled(region, sample, images[region.image].width, images[region.image].height)
                    for region in sample.regions)  # fmt: skip
    made = msgspec.structs.replace(sample, images=images, regions=regions)
    return Built(made, tuple(picture.data for picture in pictures))


def _scaled(region: Region, sample: Sample, width: int, height: int) -> Region:
    """A region on the picture's new size, in pixels rounded to a thousandth."""
    image = sample.images[region.image]
    if (image.width, image.height) == (width, height):
        return region
    sx, sy = width / image.width, height / image.height

    def x(value: float) -> float:
        return min(round(value * sx, 3), float(width))

    def y(value: float) -> float:
        return min(round(value * sy, 3), float(height))

    x0, y0, x1, y1 = region.box
    return msgspec.structs.replace(
        region,
        box=(x(x0), y(y0), x(x1), y(y1)),
        point=region.point and (x(region.point[0]), y(region.point[1])),
        polygon=region.polygon
        and tuple(tuple(x(v) if n % 2 == 0 else y(v) for n, v in enumerate(ring)) for ring in region.polygon),
        keypoints=region.keypoints and tuple((x(px), y(py), seen) for px, py, seen in region.keypoints),
        mask=region.mask and _scaled_mask(region.mask, width, height),
    )


def _scaled_mask(mask: Mask, width: int, height: int) -> Mask:
    """A mask on another size: every new pixel takes the old one under its middle."""
    old = rle.to_array(mask)
    rows = ((np.arange(height) + 0.5) * old.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * old.shape[1] / width).astype(np.int64)
    return Mask(size=(height, width), counts=rle.write(rle.from_array(old[np.ix_(rows, columns)])))
