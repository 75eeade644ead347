"""Samples with regions -> Set-of-Mark samples: marks as regions that the text refers to, or painted on the picture."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from sphinx_data.answers import Record as Answers
from sphinx_data.errors import UsageError
from sphinx_data.media import DamagedImage
from sphinx_data.phrasing import english
from sphinx_data.sample import Built, Message, Reject, Sample, Struct, Task
from sphinx_data.som import annotate, dialogue, panels
from sphinx_data.som.annotate import AnnotateOptions
from sphinx_data.som.marking import Marked, MarkOptions, mark_regions
from sphinx_data.som.pixels import Pixels, decode, encode
from sphinx_data.som.scene import Draw

if TYPE_CHECKING:
    from sphinx_data.dataset.reader import Dataset

Form = Literal["raw", "drawn"]


class Options(MarkOptions, frozen=True, kw_only=True):
    """Parameters of ``build-som``."""

    form: Literal["raw", "drawn", "both"] = (
        "raw"  # raw: places of marks as text; drawn: marks painted; both: a sample each
    )
    dialogue: Literal["mixed", "naming", "questions", "both", "none"] = "mixed"  # mixed: one of two, by the sample's id
    turns: int = 5  # most questions of a dialogue
    vocabulary: tuple[str, ...] = ()  # readable class names that questions with the answer "none" may be about
    panels: tuple[int, int] | None = None  # compose so many pictures into one, least and most
    annotate: AnnotateOptions | None = None
    limit: int | None = None  # at most so many sources, a seeded subset
    seed: int = 0


class Record(Struct, frozen=True, kw_only=True):
    """One sample of a dataset that is built from, or several that become panels of one picture."""

    row: int
    id: str
    weight: int  # bytes
    more: tuple[int, ...] = ()  # further rows


def vocabulary_of(labels: Iterable[str | None]) -> tuple[str, ...]:
    """Readable class names for `Options.vocabulary`, sorted, from all labels of the input."""
    return tuple(sorted({english.readable(label) for label in labels if label}))


def dataset_vocabulary(dataset: "Dataset") -> tuple[str, ...]:
    """Readable class names of all regions of a dataset; one pass over it, without its pictures."""
    found: set[str | None] = set()
    for row in range(len(dataset)):
        sample = dataset.sample(row)
        if sample.task != "gui-grounding":  # their labels say what an element is for
            found.update(region.label for region in sample.regions)
    return vocabulary_of(found)


def records(dataset: "Dataset", options: Options) -> Iterator[Record]:
    """The planning pass over a dataset directory: every row, or the seeded subset of `options.limit`.

    With `options.panels` rows with one picture and regions are grouped in drawn order; `limit` counts groups.
    """
    table = dataset.table(["id", "size", "num_images", "num_regions"])
    columns = (table[name].to_pylist() for name in ("id", "size", "num_images", "num_regions"))
    rows = list(zip(*columns, strict=True))
    draw = Draw("records", options.seed)
    if options.panels is not None:
        made = _grouped(rows, options.panels, draw)
        return iter(made if options.limit is None else made[: options.limit])
    chosen = list(range(len(rows)))
    if options.limit is not None:
        chosen = sorted(sorted(chosen, key=lambda row: (draw.number(rows[row][0]), row))[: options.limit])
    return (Record(row=row, id=rows[row][0], weight=rows[row][1]) for row in chosen)


def _grouped(rows: Sequence[tuple[str, int, int, int]], sizes: tuple[int, int], draw: Draw) -> list[Record]:
    """Groups of rows in drawn order; the last borrows from the first where too few are left; others stay alone."""
    if not 2 <= sizes[0] <= sizes[1] <= 4:
        raise UsageError(f"panels: {sizes[0]} to {sizes[1]} pictures; give two numbers from 2 to 4, e.g. --panels 2..4")
    fit = [n for n, row in enumerate(rows) if row[2] == 1 and row[3] > 0]
    if len(fit) < sizes[0]:
        raise UsageError(f"--panels: {len(fit)} samples have one picture with regions; {sizes[0]} are needed")
    order = draw.shuffled(fit, "order")
    groups: list[list[int]] = []
    while order:
        count = sizes[0] + draw.below(sizes[1] - sizes[0] + 1, f"group\0{len(groups)}")
        groups.append(order[:count])
        order = order[count:]
    borrow = [row for group in groups for row in group if row not in groups[-1]]
    groups[-1] += borrow[: max(sizes[0] - len(groups[-1]), 0)]
    return [
        Record(row=first, id=rows[first][0], weight=sum(rows[n][1] for n in (first, *more)), more=tuple(more))
        for first, *more in groups
    ] + [Record(row=n, id=row[0], weight=row[1]) for n, row in enumerate(rows) if row[2] != 1 or row[3] == 0]


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The Set-of-Mark samples of one record of ``places["dataset"]``, and the rejects of its regions."""
    return mark(read(record, options, places), options, answers_at(places))


def read(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The sample that a record stands for."""
    dataset = _open(places["dataset"])
    found = []
    for row in (record.row, *record.more):
        example = dataset[row]
        found.append(Built(example.sample, tuple(bytes(image) for image in example.images)))
    if not record.more:
        yield found[0]
        return
    try:
        # the id says that it is composed, and keeps the ids of other builds apart
        yield panels.compose(found, f"{record.id}/panels-{len(found)}", Draw(record.id, options.seed))
    except DamagedImage as error:
        yield _reject(found[0].sample, "record", error.rule, error.detail)


@lru_cache(maxsize=2)
def _open(directory: str) -> "Dataset":
    from sphinx_data.dataset.reader import open_dataset

    return open_dataset(directory)


def answers_at(places: dict[str, str]) -> Answers | None:
    """The record of answers that a build reads, if it has one."""
    return _answers(places["answers"]) if "answers" in places else None


@lru_cache(maxsize=2)
def _answers(place: str) -> Answers:
    return Answers(place)


def mark(items: Iterable[Built | Reject], options: Options, answers: Answers | None = None) -> Iterator[Built | Reject]:
    """Mark what another builder produces; its rejects pass through. The command line composes converters so."""
    for found in items:
        if isinstance(found, Reject):
            yield found
        else:
            yield from _mark_sample(found, options, answers)


def _mark_sample(built: Built, options: Options, answers: Answers | None) -> Iterator[Built | Reject]:
    marked = yield from _marked(built, options)
    if marked is None:
        return
    source, pixels = built.sample, None
    if options.form != "raw" or options.annotate is not None:
        try:
            pixels = decode(built.media[0])
        except DamagedImage as error:
            yield _reject(source, "image", error.rule, error.detail)
            return
    spoken, rejects = _dialogues(source, marked, pixels, options, answers)
    yield from rejects
    for form in (options.form,) if options.form != "both" else ("raw", "drawn"):
        drawn = form == "drawn"
        media = (encode(marked.paint(pixels)),) if drawn and pixels is not None else built.media
        for each in spoken:
            yield Built(_sample(source, marked, each, each.messages[drawn], drawn), media)


def _marked(built: Built, options: Options) -> Generator[Reject, None, Marked | None]:
    """Yields the rejects of a sample's regions and returns its marks, or None."""
    source = built.sample
    if len(source.images) != 1 or not source.regions:
        rule = "several-images" if len(source.images) > 1 else "no-regions" if source.images else "no-image"
        detail = f"The sample has {len(source.images)} images and {len(source.regions)} regions."
        yield _reject(source, "record", rule, detail)
        return None
    draw = Draw(source.id, options.seed)
    marked, dropped = mark_regions(source, options, options.vocabulary, draw)
    for drop in dropped:
        region = source.regions[drop.region]
        name = region.label or region.text or "without a name"
        yield _reject(source, "region", drop.rule, f"Region {drop.region} ({name[:60]}): {drop.detail}")
    if marked is None:
        yield _reject(source, "record", "no-marks", "No region can carry a mark.")
    elif len(marked.objects) < options.min_marks:
        detail = f"It has {len(marked.objects)} marks, {options.min_marks} are wanted."
        yield _reject(source, "record", "too-few-marks", detail)
        return None
    return marked


def marked_of(built: Built, options: Options) -> Marked | None:
    """The marks of a sample, without the rejects."""
    steps = _marked(built, options)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            marked: Marked | None = done.value
            return marked


class _Spoken(NamedTuple):
    """A dialogue in both forms: [with places of marks in the text, about a drawn picture]."""

    name: str  # what its id ends with
    task: Task
    messages: tuple[list[Message], list[Message]]
    asked: tuple[tuple[str, str], ...] = ()  # kinds of question, classes of their answers


def _dialogues(
    source: Sample, marked: Marked, pixels: Pixels | None, options: Options, answers: Answers | None
) -> tuple[list[_Spoken], list[Reject]]:
    """Everything that is said about a picture, and the answers of a model that cannot be used."""
    spoken: list[_Spoken] = []
    rejects: list[Reject] = []
    if options.dialogue == "naming" and marked.scene.nameless:
        rejects.append(_reject(source, "record", "no-names", "Its regions have no names that a dialogue could tell."))
    elif options.dialogue != "none":
        spoken.append(_from_annotation(source, marked, options))
    if options.annotate is not None and pixels is not None and answers is not None:
        shown = annotate.sent(marked, pixels, options.annotate.max_side)
        for prompt in options.annotate.prompts:
            sample_id = f"{source.id}/som-{prompt}"
            try:
                found = annotate.describe(marked, shown, prompt, options.annotate, answers)
            except annotate.Unanswered as error:
                rejects.append(_reject(source, "record", f"answer-{error.rule}", f"{prompt}: {error.detail}"))
                continue
            raw, drawn = (annotate.dialogue_of(found, prompt, marked, sample_id, drawn) for drawn in (False, True))
            spoken.append(_Spoken(f"som-{prompt}", annotate.TASKS[prompt], (raw, drawn)))
    return spoken, rejects


def _from_annotation(source: Sample, marked: Marked, options: Options) -> _Spoken:
    sample_id, scene = f"{source.id}/som", marked.scene
    kind: str = options.dialogue
    if kind == "mixed":
        kind = "naming" if Draw(sample_id, options.seed).below(2, "dialogue") else "questions"
    if scene.nameless:
        kind = "questions"
    both: list[list[Message]] = []
    asked: tuple[tuple[str, str], ...] = ()
    for drawn in (False, True):
        messages: list[Message] = []
        if kind in ("questions", "both"):
            messages, turns = dialogue.questions(scene, sample_id, options.turns, options.seed, drawn)
            asked = tuple((turn.kind, turn.answer_class) for turn in turns)
        if kind in ("naming", "both"):
            # the picture is shown once; names come last, or they would give the answers of the questions away
            messages += dialogue.naming(scene, sample_id, drawn, image=None if messages else 0)
        both.append(messages)
    naming: Task = "som-naming" if scene.kind == "gui" or scene.named else "som-reading"
    tasks: dict[str, Task] = {"naming": naming, "questions": "som-vqa", "both": "multi-task"}
    return _Spoken("som", tasks[kind], (both[0], both[1]), asked)


def _sample(source: Sample, marked: Marked, spoken: _Spoken, messages: list[Message], drawn: bool) -> Sample:
    meta: dict[str, Any] = {"from": source.id, "kind": "multi-panel" if marked.scene.panels else marked.scene.kind}
    if spoken.asked:
        meta["asked"] = [list(pair) for pair in spoken.asked]
    if marked.scene.panels:
        meta["panels"] = source.meta["panels"]
    images = source.images
    if drawn:
        meta |= {"style": marked.style, "labels": marked.labels}
        images = (msgspec.structs.replace(images[0], file="0.jpg"),)
    return Sample(
        id=f"{source.id}/{spoken.name}{'-drawn' if drawn else ''}",
        source=source.source,
        license=source.license,
        domain="som",
        task=spoken.task,
        language="en",
        split=source.split,
        images=images,
        regions=marked.regions,
        messages=tuple(messages),
        meta=meta,
        origin=source.origin,
    )


def _reject(source: Sample, level: Literal["record", "region", "image"], rule: str, detail: str) -> Reject:
    origin = source.origin
    return Reject(input=origin.file, record=origin.record, id=source.id, level=level, rule=rule, detail=detail)
