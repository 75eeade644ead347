"""A virtual dataset as shards in training order: bytes copied, unless pictures must become smaller."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec
import numpy as np
import xxhash

from sphinx_data import media, rle
from sphinx_data.dataset.reader import Dataset, content_hash, open_dataset
from sphinx_data.errors import InputError
from sphinx_data.executors.build import Item, Stored
from sphinx_data.mix import merge
from sphinx_data.mix.groups import Counts, Groups
from sphinx_data.sample import Built, Mask, Region, Reject, Sample, Struct

RUN = 256  # positions of a record


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``materialise``."""

    max_side: int | None = None  # longest side of a picture in pixels; regions follow
    merge: Counts | None = None  # what merging by image does, where the mix asks for it


class Record(Struct, frozen=True, kw_only=True):
    """A run of consecutive positions."""

    first: int
    count: int
    weight: int  # bytes
    merged: tuple[tuple[int, ...], ...] = ()  # positions that become one sample, where the first of them lies here
    gone: tuple[int, ...] = ()  # positions of this run that became part of an earlier one


def records(dataset: Dataset, groups: Groups | None = None) -> Iterator[Record]:
    """The planning pass: runs of positions with their bytes, and what becomes one sample in them."""
    sizes = dataset.table(["size"])["size"].to_numpy().astype(np.int64)
    none = np.empty(0, dtype=np.int64)
    members, leads = (groups.members, groups.leads) if groups else (none, none)
    gone = members != leads
    sizes += np.bincount(leads[gone], sizes[members[gone]], len(sizes)).astype(np.int64)
    sizes[members[gone]] = 0  # they are read with the first of their group
    starts = np.arange(0, len(sizes), RUN)
    weights = np.add.reduceat(sizes, starts) if len(sizes) else sizes
    followers = np.sort(members[gone])
    for first, weight in zip(starts.tolist(), weights.tolist(), strict=True):
        here = slice(*np.searchsorted(leads, [first, first + RUN]))
        left = slice(*np.searchsorted(followers, [first, first + RUN]))
        groups_here = np.split(members[here], np.flatnonzero(~gone[here])[1:]) if here.start < here.stop else []
        yield Record(
            first=first, count=min(RUN, len(sizes) - first), weight=weight,
            merged=tuple(tuple(group.tolist()) for group in groups_here), gone=tuple(followers[left].tolist()),
        )  # fmt: skip


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Item]:
    """The samples of a run as they are stored, merged where the plan says so, or with smaller pictures.

    `places` holds the dataset and, as ``root:NAME``, where its sources lie. Raises InputError for a sample whose bytes
    are not the ones that were indexed.
    """
    roots = tuple((name.removeprefix("root:"), place) for name, place in places.items() if name.startswith("root:"))
    dataset = _open(places["dataset"], roots)
    merged, gone = {group[0]: group for group in record.merged}, set(record.gone)
    for position in range(record.first, record.first + record.count):
        if position in merged:
            yield from _merged(dataset, merged[position], options.max_side)
        elif position not in gone:
            example = dataset[position]
            if options.max_side is None:
                yield Stored(example, dataset.content(position))
            else:
                yield _shrunk(example.sample, example.images, options.max_side)


@lru_cache(maxsize=2)
def _open(directory: str, roots: tuple[tuple[str, str], ...]) -> Dataset:
    return open_dataset(directory, dict(roots))


def _merged(dataset: Dataset, positions: Sequence[int], max_side: int | None) -> Iterator[Item]:
    """One sample made of several about one picture, after the turns that found no place in it."""
    picture = dataset[positions[0]].images[0]
    digest = xxhash.xxh3_128_digest(picture)
    samples = []
    for position in positions:
        example = dataset[position]
        if content_hash(example.json, [digest]) != dataset.content(position):  # its picture is the first one's, too
            raise InputError(f"{example.sample.id}: is not what its index says; run sphinx-data verify on its dataset")
        samples.append(example.sample)
    made = merge.merge(samples)
    yield from made.rejects
    if max_side is None:
        yield Built(made.sample, (bytes(picture),))
    else:
        yield _shrunk(made.sample, [picture], max_side)


def _shrunk(sample: Sample, images: Sequence[memoryview], max_side: int) -> Built | Reject:
    """The sample with smaller pictures and its regions scaled, or a reject for a picture that cannot be decoded."""
    try:
        pictures = [media.shrink_image(bytes(image), max_side) for image in images]
    except media.DamagedImage as error:
        return Reject(
            input=sample.origin.file, record=sample.origin.record, id=sample.id, level="image", rule=error.rule,
            detail=error.detail,
        )  # fmt: skip
    smaller = tuple(
        msgspec.structs.replace(image, file=f"{number}.{made.extension}", width=made.width, height=made.height)
        for number, (image, made) in enumerate(zip(sample.images, pictures, strict=True))
    )
    regions = tuple(_scaled(region, sample, smaller[region.image].width, smaller[region.image].height)
                    for region in sample.regions)  # fmt: skip
    made = msgspec.structs.replace(sample, images=smaller, regions=regions)
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
