"""GRIT (Kosmos-2): captions of web pictures whose noun chunks carry boxes.

Input: the output folder of img2dataset (``00000.parquet`` with ``00000.tar`` or the folder ``00000`` beside), fetched
with ``--save_additional_columns '["id","noun_chunks","ref_exps"]'``; or JSON lines or lists with the same fields and
``image``, a name below the folder of pictures. GRIT's own Parquet files hold addresses only and are refused. One sample
a picture: "Describe the image in one sentence and give the bounding boxes of what you mention." -> "a hanger
[...] with a cover [...]". ``--set spans=ref_exps`` takes the longer referring expressions; chunks that overlap one
before them, or score below ``min_score``, stay text and are listed in rejects. Boxes are shares of the picture, so the
pictures must not have been cropped or padded. MS-PL; captions and pictures of the web have their own terms:
https://huggingface.co/datasets/zzliang/GRIT. No published file was at hand for the tests: they write its layout.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from sphinx_data.convert import Inputs, _row_files, _rows, img2dataset
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import RejectedError, clean_text, short
from sphinx_data.convert._frame import Frame, frame_of
from sphinx_data.convert._grounded import Box, Grounded, Phrase, grounds
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._sample import about_image, built
from sphinx_data.convert._tables import is_table, schema
from sphinx_data.errors import InputError
from sphinx_data.language import language_of
from sphinx_data.media import Prepared
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Reject

LICENSE = "MS-PL"
_SLACK = 0.02  # relative difference of the sides' ratio that rounding may make
_META = ("url", "clip_similarity_vitb32", "clip_similarity_vitl14")


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    spans: Literal["noun_chunks", "ref_exps"] = "noun_chunks"
    min_score: float = 0.0  # of the detector


class _Chunk(NamedTuple):
    """A span of the caption in characters, and a box in shares of the picture."""

    start: int
    end: int
    box: Box
    score: float


def recognise(glimpse: Glimpse) -> bool:
    """Rows with captions and noun chunks."""
    return glimpse.row_has("caption", "noun_chunks") or {"caption", "noun_chunks"} <= glimpse.keys


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every row group of what img2dataset wrote, or every JSON item, in file order."""
    tables = [file for file in _row_files.files(inputs) if is_table(file.path)]
    if not tables:
        return _rows.records(inputs, options, _named, one="noun_chunks")
    for file in tables:
        if "status" not in schema(file.path).names:
            raise InputError(f"{file.path}: holds addresses only; fetch them with img2dataset and give its output")
    return img2dataset.records(inputs, options)


def _named(fields: dict[str, Any]) -> list[str | list[str]]:
    name = fields.get("image")
    if not isinstance(name, str):
        raise RejectedError("image-unnamed", "The row has no image, the name of its picture.")
    return [name]


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample a row with the rejects of its chunks, or the reject of the row."""
    if record.span is not None:
        return img2dataset.fetched(record, options, places, _sampled)
    return _rows.produce(record, options, places, lambda row: _sampled(row, row.picture(row.fields["image"], 0)))


def _sampled(row: Row, picture: Prepared) -> Iterator[Built | Reject]:
    options, fields = row.options, row.fields
    assert isinstance(options, Options)
    caption = fields.get("caption")
    if not isinstance(caption, str) or not caption.strip():
        raise RejectedError("caption-missing", "The row has no caption.")
    frame = frame_of(picture)
    _same_shape(fields, frame)
    grounded = Grounded(frame, row.input, row.record, row.id)
    chunks = _chunks(fields.get(options.spans), len(caption), options, grounded)
    parts = grounded.parts(_phrases(caption, chunks, frame))
    if not grounds(parts):
        raise RejectedError("no-boxes", f"No phrase of {short(caption)} has a box.")
    yield from grounded.rejects
    question = choose("grounded-caption", "question", row.id)
    meta = {key: fields[key] for key in _META if isinstance(fields.get(key), (str, float))}
    yield built(
        row, options, [picture], domain="vision", task="grounded-caption", language=language_of(caption),
        license=LICENSE, regions=grounded.regions, messages=about_image([(question, parts)]), meta=meta,
    )  # fmt: skip


def _same_shape(fields: dict[str, Any], frame: Frame) -> None:
    """Shares hold after resizing, not after cropping or padding."""
    sides = [fields.get(key) for key in ("original_width", "original_height")]
    if all(isinstance(side, int) and side > 0 for side in sides):
        before, now = sides[0] / sides[1], frame.width / frame.height  # type: ignore[operator]
        if abs(before / now - 1) > max(_SLACK, 2 / min(frame.width, frame.height)):
            detail = f"The picture had {sides[0]}x{sides[1]} pixels; {frame.width}x{frame.height} is cropped or padded."
            raise RejectedError("size-mismatch", detail)


def _chunks(said: Any, length: int, options: Options, grounded: Grounded) -> list[_Chunk]:
    """The chunks that can be used, in the order of the caption."""
    found: list[_Chunk] = []
    for number, entry in enumerate(said if isinstance(said, (list, tuple)) else ()):
        chunk = _chunk(entry, length)
        if chunk is None:
            detail = f"{options.spans}[{number}] {short(entry)} is no span of the caption with a box."
            grounded.reject("region", "chunk-invalid", detail)
        elif chunk.score < options.min_score:
            detail = f"{options.spans}[{number}] scores {chunk.score:.2f} of at least {options.min_score:g}."
            grounded.reject("region", "score-low", detail)
        else:
            found.append(chunk)
    return _apart(sorted(found, key=lambda chunk: (chunk.start, -chunk.end, chunk.box)), grounded)


def _chunk(entry: Any, length: int) -> _Chunk | None:
    try:
        start, end, x0, y0, x1, y1, score = (float(number) for number in entry)
    except (TypeError, ValueError, OverflowError):
        return None
    inside = 0 <= start < end <= length and start == int(start) and end == int(end)
    return _Chunk(int(start), int(end), (x0, y0, x1, y1), score) if inside else None


def _apart(chunks: list[_Chunk], grounded: Grounded) -> list[_Chunk]:
    """Without spans that overlap another one; equal spans stay: several boxes of one phrase."""
    kept: list[_Chunk] = []
    for chunk in chunks:
        if kept and chunk.start < kept[-1].end and chunk[:2] != kept[-1][:2]:
            detail = f"Characters {chunk.start} to {chunk.end} overlap another phrase."
            grounded.reject("region", "span-overlap", detail)
        else:
            kept.append(chunk)
    return kept


def _phrases(caption: str, chunks: list[_Chunk], frame: Frame) -> Iterator[Phrase]:
    spans: dict[tuple[int, int], list[Box]] = {}
    for chunk in chunks:
        x0, y0, x1, y1 = chunk.box
        scaled = (x0 * frame.width, y0 * frame.height, x1 * frame.width, y1 * frame.height)
        spans.setdefault((chunk.start, chunk.end), []).append(scaled)
    last = 0
    for (start, end), boxes in spans.items():
        yield clean_text(caption[last:start]), ()
        yield clean_text(caption[start:end]), boxes
        last = end
    yield clean_text(caption[last:]), ()
