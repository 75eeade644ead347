"""Image tables of Hugging Face: Parquet or Arrow rows of a picture {bytes, path} with a caption, a class or a question.

Files or folders, those of `datasets.save_to_disk` and of its cache too; the library is not needed. The columns are
told by their names, or given: ``--set image=img --set text=caption``; ``label`` is a class, whose name comes from the
file's own features; ``question`` and ``answer`` give a dialogue (of a list of answers the first). A caption and its
picture are one document; ``--set form=question`` asks for it; of a list of captions the first is used, all stay in
``meta``. Other columns of text and numbers go to ``meta``. Pictures keep their bytes. Each set has its own licence:
give ``--license``. The layout is that of the published library; no real file was at hand.
https://huggingface.co/docs/datasets/image_dataset
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sphinx_data.convert import Inputs, _rows
from sphinx_data.convert._common import RejectedError, short
from sphinx_data.convert._exchanges import exchange
from sphinx_data.convert._pairs import PairOptions, captioned, classified
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._tables import TABLES, class_names, jsonable
from sphinx_data.sample import Built, Reject

_IMAGE = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "pixel_values")
_TEXT = ("caption", "text", "captions", "texts", "description", "prompt", "txt", "sentence", "sentences")
_LABEL = ("label", "labels", "fine_label", "class", "cls", "category")
_ANSWER = ("answer", "answers", "label", "multiple_choice_answer")


class Options(PairOptions, frozen=True, kw_only=True):
    """Parameters of this format: columns, where their names do not tell."""

    image: str | None = None
    text: str | None = None
    label: str | None = None
    question: str | None = None
    answer: str | None = None


def recognise(glimpse: Glimpse) -> bool:
    """Tables whose rows have one embedded picture and one of the other columns."""
    if not any(name.lower().endswith(TABLES) for name in glimpse.names) or glimpse.row_has("key", "status"):
        return False
    if glimpse.row_has("answer", "bbox", "file_name"):  # refcoco_rows
        return False
    rows = [row for row in glimpse.rows if isinstance(row, dict)]
    pictured = [row for row in rows if any(_is_picture(row.get(name)) for name in _IMAGE)]
    beside = {*_TEXT, *_LABEL, "question"}
    return bool(rows) and pictured == rows and all(beside & set(row) and "conversations" not in row for row in rows)


def _is_picture(cell: Any) -> bool:
    return isinstance(cell, bytes) or (isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes))


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every row group of every file, in file order."""
    return _rows.records(inputs, options, wide=(), extensions=TABLES)


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """The sample of every row, or its reject."""
    path = _rows.path_of(record.span, places) if record.span is not None else ""

    def sampled(row: Row) -> Iterator[Built | Reject]:
        return _sampled(row, path)

    return _rows.produce(record, options, places, sampled)


def _sampled(row: Row, path: str) -> Iterator[Built | Reject]:
    options, fields = row.options, row.fields
    assert isinstance(options, Options)
    image = _column(fields, options.image, _IMAGE)
    if image is None:
        raise RejectedError("image-missing", "The row has no column of a picture; --set image=COLUMN names one.")
    meta = {name: jsonable(cell) for name, cell in fields.items() if name != image and _is_fact(cell)}
    question = options.question or ("question" if fields.get("question") is not None else None)
    if question is not None:
        answer = _column(fields, options.answer, _ANSWER)
        asked, said = fields.get(question), _first(fields.get(answer or "answer"))
        if not isinstance(asked, str) or not isinstance(said, str):
            raise RejectedError("field-missing", f"Question {short(asked)} has answer {short(said)}, no text.")
        meta.pop(question, None)
        return exchange(row, asked, said, task="vqa", sources=[fields[image]], meta=meta)
    picture = row.picture(fields[image], 0)
    text = _column(fields, options.text, _TEXT) if options.label is None or options.text else None
    if text is not None:
        caption = _first(fields[text])
        if not isinstance(caption, str):
            raise RejectedError("caption-missing", f"{text} is {short(fields[text])}, no text.")
        if isinstance(fields[text], str):
            meta.pop(text, None)
        return captioned(row, [picture], caption, form=options.form, meta=meta)
    label = _column(fields, options.label, _LABEL)
    if label is None:
        raise RejectedError(
            "no-text", "The row has neither text nor class; --set text=COLUMN or label=COLUMN names one."
        )
    return classified(row, picture, _class(fields[label], label, path), meta=meta)


def _column(fields: dict[str, Any], named: str | None, usual: tuple[str, ...]) -> str | None:
    names = (named,) if named is not None else usual
    return next((name for name in names if fields.get(name) is not None), None)


def _first(cell: Any) -> Any:
    return cell[0] if isinstance(cell, list) and cell else cell


def _is_fact(cell: Any) -> bool:
    return cell is not None and not _is_picture(cell) and not isinstance(cell, bytes)


def _class(cell: Any, column: str, path: str) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool) or not isinstance(cell, int):
        raise RejectedError("label-invalid", f"{column} is {short(cell)}, neither a name nor a number.")
    names = _names(path, column)
    if names and not 0 <= cell < len(names):
        raise RejectedError("class-unknown", f"{column} is {cell}; the file names {len(names)} classes.")
    return names[cell] if names else str(cell)


@lru_cache(maxsize=64)
def _names(path: str, column: str) -> tuple[str, ...]:
    return tuple(class_names(path, column)) if path else ()
