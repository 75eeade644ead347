"""Expressions that refer to regions of one picture: REC ("where is ..?") and REG ("describe this region") dialogues."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import xxhash

from sphinx_data.convert._common import CommonOptions, RejectedError, clean_text
from sphinx_data.convert._json_items import value
from sphinx_data.convert._objects import PictureRecord, of_picture, opened, reject
from sphinx_data.convert._regions import coco_region
from sphinx_data.convert._sample import about_image, built
from sphinx_data.media import Prepared
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Part, Region, RegionPart, Reject, Struct, TextPart

TASKS: tuple[Literal["rec", "reg"], ...] = ("rec", "reg")


class ReferringOptions(CommonOptions, frozen=True, kw_only=True):
    """Parameters of formats of referring expressions."""

    task: Literal["both", "rec", "reg"] = "both"  # both: a sample of each for every picture
    max_turns: Annotated[int, msgspec.Meta(ge=1)] = 20  # questions about one picture, drawn by the sample's id


class Expression(Struct, frozen=True, kw_only=True):
    """One region and the sentences that describe it."""

    id: str
    shape: bytes  # JSON of a COCO annotation
    sentences: tuple[str, ...]
    label: str | None = None


class Record(PictureRecord, frozen=True, kw_only=True):
    """One picture with its expressions, for one task; without media only rejects of the planning pass."""

    width: int = 0
    height: int = 0
    expressions: tuple[Expression, ...] = ()
    reg: bool = False  # describe regions; else find them


class _Referred(NamedTuple):
    expression: Expression
    region: int  # position among the regions


def both(record: Record, options: ReferringOptions) -> Iterator[Record]:
    """The record for each task that is asked for; rejects of the planning pass go with the first, or stand alone."""
    if record.media is None:
        yield record
        return
    tasks = [task for task in TASKS if options.task in ("both", task)]
    for number, task in enumerate(tasks):
        yield msgspec.structs.replace(
            record, id=f"{record.id}/{task}", reg=task == "reg", rejects=record.rejects if number == 0 else ()
        )


def cleaned(sentence: object) -> str:
    """A sentence in one line; empty for what is no text."""
    return " ".join(clean_text(sentence).split()) if isinstance(sentence, str) else ""


@of_picture
def produce(
    record: Record, options: ReferringOptions, places: dict[str, str], license: str | None = None,
    load: Callable[[], Prepared] | None = None,
) -> Iterator[Built | Reject]:  # fmt: skip
    """One sample with the rejects of its regions and turns, or the reject of the picture.

    `load` gives a picture that is no file of its own.
    """
    picture, frame = opened(record, options, places, record.width, record.height, load)
    regions: list[Region] = []
    referred: list[_Referred] = []
    for expression in record.expressions:
        try:
            done = coco_region(value(expression.shape), expression.label or "", frame.width, frame.height)
        except RejectedError as error:
            yield reject(record, "region", error.rule, f"Expression {expression.id}: {error.detail}")
            continue
        referred.append(_Referred(expression, len(regions)))
        regions.append(frame.region(msgspec.structs.replace(done.region, label=expression.label)))
    turns, lost = (_reg if record.reg else _rec)(record, referred)
    yield from lost
    kept, left = _drawn(record.id, turns, options.max_turns)
    for turn in left:
        yield reject(record, "turn", "not-asked", f"Expression {turn.id}: more than max_turns={options.max_turns}.")
    if not kept:
        yield reject(record, "image", "no-expressions", "No expression of the picture is left.")
        return
    meta: dict[str, list[Any]] = {"expressions": [turn.id for turn in kept]}
    if record.reg:
        meta["sentences"] = [list(turn.sentences) for turn in kept]
    yield built(
        record, options, [picture], domain="vision", task="reg" if record.reg else "rec", language="en",
        regions=regions, license=license, image_licenses=[record.license], meta=meta,
        messages=about_image([(turn.question, turn.answer) for turn in kept]),
    )  # fmt: skip


class _Turn(NamedTuple):
    id: str
    question: Sequence[Part]
    answer: Sequence[Part]
    sentences: tuple[str, ...] = ()


def _rec(record: Record, referred: list[_Referred]) -> tuple[list[_Turn], list[Reject]]:
    """One question for every sentence, unless it describes several regions."""
    turns: list[_Turn] = []
    lost: list[Reject] = []
    places: dict[str, set[int]] = {}
    asked = [(each, _bare(said)) for each in referred for said in each.expression.sentences]
    for each, sentence in asked:
        places.setdefault(sentence.lower(), set()).add(each.region)
    seen: set[str] = set()
    for each, sentence in asked:
        key = sentence.lower()
        if len(places[key]) > 1:
            detail = f"Expression {each.expression.id}: {sentence!r} is said of {len(places[key])} regions."
            lost.append(reject(record, "turn", "ambiguous", detail))
        elif key in seen:
            detail = f"Expression {each.expression.id}: {sentence!r} is there already."
            lost.append(reject(record, "turn", "repeated", detail))
        else:
            seen.add(key)
            question = choose("rec", "question", record.id, len(turns)).format(sentence=sentence)
            answer = RegionPart(regions=(each.region,), form="box")
            turns.append(_Turn(each.expression.id, (TextPart(text=question),), (answer,)))
    return turns, lost


def _bare(sentence: str) -> str:
    return sentence.rstrip(" .?!") or sentence


def _reg(record: Record, referred: list[_Referred]) -> tuple[list[_Turn], list[Reject]]:
    """One question for every region; the answer is one of its sentences."""
    turns: list[_Turn] = []
    for each in referred:
        before, _, after = choose("reg", "question", record.id, len(turns)).partition("{region}")
        place = RegionPart(regions=(each.region,), form="box")
        question = [part for part in (TextPart(text=before), place, TextPart(text=after)) if part != TextPart(text="")]
        sentences = each.expression.sentences
        key = f"{record.id}\0{each.expression.id}".encode()
        answer = sentences[xxhash.xxh3_64_intdigest(key) % len(sentences)]
        turns.append(_Turn(each.expression.id, question, (TextPart(text=answer),), sentences))
    return turns, []


def _drawn(sample_id: str, turns: list[_Turn], limit: int) -> tuple[list[_Turn], list[_Turn]]:
    """At most `limit` turns, in their order, and the others."""
    order = sorted(range(len(turns)), key=lambda n: xxhash.xxh3_64_intdigest(f"{sample_id}\0{n}".encode()))
    chosen = set(order[:limit] if len(turns) > limit else order)
    return [turn for n, turn in enumerate(turns) if n in chosen], [t for n, t in enumerate(turns) if n not in chosen]
