"""WildReceipt: photos of receipts, every text with a box and one of 25 classes -> key information and text spotting.

Input: the folder, or its ``train.txt``, ``test.txt``, ``data.txt`` (JSON lines ``{file_name, height, width,
annotations: [{box: 8 numbers, text, label}]}``), with ``class_list.txt`` beside. Pictures by ``file_name`` or its
end below the folder. One sample a receipt: a question for each value that the receipt has once, "What is the
total?\\nAnswer the question using a single word or phrase.", then SPHINX's text spotting. The lines of an address
are joined; of other values that stand there twice, none is asked for (a reject of level turn). Class 0, Ignore, is
what nobody read: rejects of level region, and the question then does not ask for all text. Texts have no blanks in
the source. No licence is stated (`--license`). https://download.openmmlab.com/mmocr/data/wildreceipt.tar
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from sphinx_data.convert import Inputs, _rows
from sphinx_data.convert._common import RejectedError, short
from sphinx_data.convert._forms import Field, field_turns
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._rows import Record as Record
from sphinx_data.convert._rows import Row
from sphinx_data.convert._text_rows import opened_row, tails
from sphinx_data.convert._texts import About, TextOptions, Texts, legible, outline
from sphinx_data.errors import InputError
from sphinx_data.sample import Built, Reject

_CLASSES = (
    "Ignore", "Store_name_value", "Store_name_key", "Store_addr_value", "Store_addr_key", "Tel_value", "Tel_key",
    "Date_value", "Date_key", "Time_value", "Time_key", "Prod_item_value", "Prod_item_key", "Prod_quantity_value",
    "Prod_quantity_key", "Prod_price_value", "Prod_price_key", "Subtotal_value", "Subtotal_key", "Tax_value", "Tax_key",
    "Tips_value", "Tips_key", "Total_value", "Total_key", "Others",
)  # fmt: skip
_ASKED = {
    "Store_name_value": "name of the store", "Store_addr_value": "address of the store",
    "Tel_value": "telephone number", "Date_value": "date", "Time_value": "time", "Subtotal_value": "subtotal",
    "Tax_value": "tax", "Tips_value": "tip", "Total_value": "total",
}  # fmt: skip
_LISTS = ("train.txt", "test.txt", "data.txt")
_DEEP = 2  # folders above a list; further up lie other sets too


class Options(TextOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    tasks: Literal["both", "key-information", "spotting"] = "both"  # what is asked


def recognise(glimpse: Glimpse) -> bool:
    """JSON lines of pictures whose annotations have box, text and label; or the folder of such a file."""
    if glimpse.is_folder:
        lists = [name for name in glimpse.names if name.rpartition("/")[2] in _LISTS and name.count("/") < _DEEP]
        listed = bool(lists) and any(name.rpartition("/")[2] == "class_list.txt" for name in glimpse.names)
        return listed and recognise(Glimpse(Inputs((str(Path(glimpse.path, lists[0])),))))
    if {"file_name", "annotations"} <= glimpse.keys:  # a file of one line
        found = [entry for entry in glimpse.member("annotations") if isinstance(entry, dict)]
        return bool(found) and all({"box", "text", "label"} <= set(entry) for entry in found)
    if not glimpse.record_has("file_name", "annotations"):
        return False
    several = [record["annotations"] for record in glimpse.records if isinstance(record["annotations"], list)]
    found = [entry for listed in several for entry in listed if isinstance(entry, dict)]
    return bool(found) and all({"box", "text", "label"} <= set(entry) for entry in found)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every receipt of every file, in file order."""
    paths: list[str] = []
    for place in inputs.annotations:
        if not Path(place).is_dir():
            paths.append(place)
            continue
        found = [str(path) for name in _LISTS for path in sorted(Path(place).rglob(name))]
        if not found:
            raise InputError(f"{place}: has no {' or '.join(_LISTS)}; name the annotation file")
        paths += found
    chosen = Inputs(tuple(paths), inputs.images or inputs.places()["images"])
    return _rows.records(chosen, options, _names, one="annotations")


def _names(fields: dict[str, Any]) -> list[str | list[str]]:
    return [tails(fields.get("file_name"), "image_files", "images")]


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its texts, or the reject of the picture."""
    yield from _rows.produce(record, options, places, lambda row: _sampled(row, options))


def _sampled(row: Row, options: Options) -> Iterator[Built | Reject]:
    picture, texts = opened_row(row, "", row.fields.get("width"), row.fields.get("height"))
    annotations = row.fields.get("annotations")
    if not isinstance(annotations, list):
        raise RejectedError("annotations-invalid", f"annotations is {short(annotations)}, no list.")
    values: dict[str, list[str]] = {}
    for number, entry in enumerate(annotations):
        with texts.one(f"annotations[{number}]"):
            name, text = _add(texts, entry)
            values.setdefault(name, []).append(text)
    fields = _fields(texts, values) if options.tasks != "spotting" else []
    turns = field_turns(fields, "receipt", row.id)
    if options.tasks == "key-information":
        texts.list_nothing()
    yield from texts.samples(picture, About(language="en"), turns)


def _add(texts: Texts, entry: Any) -> tuple[str, str]:
    """Class and text of an annotation. Raises RejectedError."""
    if not isinstance(entry, dict):
        raise RejectedError("annotation-invalid", f"{short(entry)} is no object.")
    label, ring = entry.get("label"), entry.get("box")
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(_CLASSES):
        raise RejectedError("category-unknown", f"label is {short(label)}, none of the {len(_CLASSES)} classes.")
    if label == 0 and not str(entry.get("text") or "").strip():
        raise RejectedError("dont-care", "Its class is Ignore, and it has no text.")
    if not isinstance(ring, list) or len(ring) != 8 or not all(type(n) in (int, float) for n in ring):
        raise RejectedError("box-invalid", f"box {short(ring)} is not eight numbers.")
    text = legible(entry.get("text"))
    texts.add(outline(ring), text, _CLASSES[label])
    return _CLASSES[label], text


def _fields(texts: Texts, values: dict[str, list[str]]) -> list[Field]:
    """The values that can be asked for, in the order of the classes."""
    fields = []
    for name, asked in _ASKED.items():
        found = values.get(name, [])
        if name == "Store_addr_value" and found:
            fields.append(Field(asked, " ".join(found)))
        elif len(set(found)) == 1:
            fields.append(Field(asked, found[0]))
        elif found:
            texts.refuse("turn", "ambiguous", f"The receipt has {len(found)} texts of class {name}.")
    return fields
