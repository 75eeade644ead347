"""Samples with regions -> Set-of-Mark samples: the raw picture, and marks as regions that the text refers to."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

import cv2
import msgspec
import xxhash

from sphinx_data import draw
from sphinx_data.phrasing import english
from sphinx_data.sample import Built, Message, Reject, Sample, Struct, Task
from sphinx_data.som import dialogue, masks
from sphinx_data.som import place as placing

if TYPE_CHECKING:
    from sphinx_data.dataset.reader import Dataset


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``build-som``."""

    max_marks: int = 10  # in one picture
    min_radius: float = 4.0  # pixels from a mark to the edge of the visible part of its object
    dialogue: Literal["mixed", "naming", "questions", "both"] = "mixed"  # mixed: one of the two, by the sample's id
    vocabulary: tuple[str, ...] = ()  # readable class names that questions with the answer "none" may be about
    limit: int | None = None  # at most so many sources, a seeded subset
    seed: int = 0


class Record(Struct, frozen=True, kw_only=True):
    """One sample of a dataset that is built from."""

    row: int
    id: str
    weight: int  # bytes


def vocabulary_of(labels: Iterable[str | None]) -> tuple[str, ...]:
    """Readable class names for `Options.vocabulary`, sorted, from all labels of the input."""
    return tuple(sorted({english.readable(label) for label in labels if label}))


def dataset_vocabulary(dataset: "Dataset") -> tuple[str, ...]:
    """Readable class names of all regions of a dataset; one pass over it."""
    return vocabulary_of({region.label for example in dataset for region in example.sample.regions})


def records(dataset: "Dataset", options: Options) -> Iterator[Record]:
    """The planning pass over a dataset directory: every row, or the seeded subset of `options.limit`."""
    rows = list(zip(*(dataset.table(["id", "size"])[name].to_pylist() for name in ("id", "size")), strict=True))
    chosen = range(len(rows))
    keep = set(chosen)
    if options.limit is not None:
        keep = set(sorted(chosen, key=lambda row: (_hash(options.seed, rows[row][0]), row))[: options.limit])
    return (Record(row=row, id=rows[row][0], weight=rows[row][1]) for row in chosen if row in keep)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The Set-of-Mark sample of one row of ``places["dataset"]``, and the rejects of its regions."""
    example = _open(places["dataset"])[record.row]
    return mark([Built(example.sample, tuple(bytes(image) for image in example.images))], options)


@lru_cache(maxsize=2)
def _open(directory: str) -> "Dataset":
    from sphinx_data.dataset.reader import open_dataset

    return open_dataset(directory)


def mark(items: Iterable[Built | Reject], options: Options) -> Iterator[Built | Reject]:
    """Mark what another builder produces; its rejects pass through. The command line composes converters so."""
    cv2.setNumThreads(1)  # workers are processes; threads on top of them would only wait for each other
    for found in items:
        if isinstance(found, Reject):
            yield found
        else:
            yield from _mark_sample(found, options)


def _mark_sample(built: Built, options: Options) -> Iterator[Built | Reject]:
    source = built.sample
    if len(source.images) != 1 or not source.regions:
        rule = "no-regions" if source.images else "no-image"
        rule = "several-images" if len(source.images) > 1 else rule
        yield _reject(
            source, "record", rule, f"The sample has {len(source.images)} images and {len(source.regions)} regions."
        )
        return
    placed, dropped = _place(source, options)
    for drop in dropped:
        yield _reject(
            source, "region", drop.rule, f"Region {drop.region} ({source.regions[drop.region].label}): {drop.detail}"
        )
    if not placed:
        yield _reject(source, "record", "no-marks", "No region can carry a mark.")
        return
    yield Built(_sample(source, placed, options), built.media)


def _place(source: Sample, options: Options) -> tuple[list[placing.Mark], list[placing.Dropped]]:
    """Marks in a seeded order of the regions, so that numbers tell nothing about size, class or place."""
    width, height = source.images[0].width, source.images[0].height
    windows: list[masks.Window | None] = []
    dropped: list[placing.Dropped] = []
    order: list[int] = []
    for number, region in enumerate(source.regions):
        try:
            windows.append(masks.window_of(region, width, height))
        except ValueError as error:
            windows.append(None)
            dropped.append(placing.Dropped(number, "mask-invalid", str(error)))
            continue
        if region.label:
            order.append(number)
        else:
            dropped.append(placing.Dropped(number, "no-label", "It has no label, so nothing is known to say about it."))
    order.sort(key=lambda number: (_hash(options.seed, f"{source.id}\0{number}"), number))
    size = draw.font_size(width, height)
    label = partial(_label_box, size=size, canvas=(width, height))
    placed, more = placing.place(masks.visible(windows), order, options.max_marks, options.min_radius, label)
    return placed, dropped + more


def _label_box(text: str, centre: tuple[float, float], size: int, canvas: tuple[int, int]) -> placing.LabelBox:
    return draw.label_box(text, centre, size, canvas)


def _sample(source: Sample, placed: Sequence[placing.Mark], options: Options) -> Sample:
    sample_id = f"{source.id}/som"
    numbers = {mark.region: mark for mark in placed}
    regions = tuple(
        msgspec.structs.replace(region, point=(numbers[n].x, numbers[n].y), mark=str(numbers[n].number))
        if n in numbers
        else msgspec.structs.replace(region, mark=None)
        for n, region in enumerate(source.regions)
    )
    names = {n: english.readable(region.label) for n, region in enumerate(source.regions) if region.label}
    marks = [dialogue.Named(mark.region, names[mark.region]) for mark in placed]
    kind: str = options.dialogue
    if kind == "mixed":
        kind = "naming" if _hash(options.seed, f"{sample_id}\0dialogue") % 2 else "questions"
    messages: list[Message] = []
    if kind in ("questions", "both"):
        unmarked = sorted({name for n, name in names.items() if n not in numbers})
        messages += dialogue.questions(marks, [unmarked, options.vocabulary], sample_id)
    if kind in ("naming", "both"):
        named = dialogue.naming(marks, sample_id)
        # the picture is shown once; names come last, or they would give the answers of the questions away
        first = named[0] if not messages else msgspec.structs.replace(named[0], content=named[0].content[1:])
        messages += [first, *named[1:]]
    tasks: dict[str, Task] = {"naming": "som-naming", "questions": "som-vqa", "both": "multi-task"}
    return Sample(
        id=sample_id,
        source=source.source,
        license=source.license,
        domain="som",
        task=tasks[kind],
        language="en",
        split=source.split,
        images=source.images,
        regions=regions,
        messages=tuple(messages),
        meta={"from": source.id},
        origin=source.origin,
    )


def _hash(seed: int, text: str) -> int:
    return int(xxhash.xxh3_64_intdigest(text.encode("utf-8", "replace"), seed & 0xFFFFFFFFFFFFFFFF))


def _reject(source: Sample, level: Literal["record", "region"], rule: str, detail: str) -> Reject:
    origin = source.origin
    return Reject(input=origin.file, record=origin.record, id=source.id, level=level, rule=rule, detail=detail)
