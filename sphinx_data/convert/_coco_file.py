"""A COCO-form JSON file as planning needs it: annotations by picture, categories and licences by id."""

from collections.abc import Iterator
from typing import Any

import msgspec

from sphinx_data.convert._common import clean_text, item
from sphinx_data.licenses import from_coco
from sphinx_data.phrasing import english
from sphinx_data.sample import Reject, Struct


class Annotation(Struct, frozen=True, kw_only=True):
    """One annotation as it stands in the file, with what the rest of the file says about it."""

    label: str
    raw: bytes
    stuff: bool = False


class CocoFile(msgspec.Struct):
    """The lists of the file, their items undecoded."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw] = []
    categories: list[msgspec.Raw] = []
    licenses: list[msgspec.Raw] | None = None


def picture_names(entry: dict[str, Any]) -> list[str]:
    """Names under which a picture may lie: as written, its last part, and the end of its URL (LVIS)."""
    names = []
    for key, parts in (("file_name", 99), ("file_name", 1), ("coco_url", 2), ("coco_url", 1)):
        if isinstance(value := entry.get(key), str):
            names.append("/".join(value.split("/")[-parts:]))
    return names


def length(value: Any) -> int:
    """A width or height as the file says it, 0 where it says none that can be."""
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**31
    return int(value) if whole and value == int(value) else 0


def identity(value: Any) -> str | None:
    """An id as a key, so that 7 and "7" are one picture; None for what cannot be an id."""
    return clean_text(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _objects(raws: list[msgspec.Raw]) -> Iterator[dict[str, Any]]:
    for raw in raws:
        try:
            value = item(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def categories(file: CocoFile) -> dict[str | None, tuple[str, bool]]:
    """Category id -> readable name, and whether it is stuff (sky, wall) rather than things that can be counted."""
    return {
        identity(entry.get("id")): (english.readable(clean_text(entry["name"])), _is_stuff(entry))
        for entry in _objects(file.categories)
        if isinstance(entry.get("name"), str) and entry["name"].strip()
    }


def licenses(file: CocoFile) -> dict[str, str]:
    """Licence id -> SPDX id."""
    found = {identity(entry.get("id")): from_coco(entry) for entry in _objects(file.licenses or [])}
    return {key: name for key, name in found.items() if key is not None}


def _is_stuff(category: dict[str, Any]) -> bool:
    """By COCO's flag, else by the endings that COCO gives to names of stuff."""
    return category.get("isthing", 1) == 0 or category["name"].endswith(("-merged", "-other", "-stuff"))


def annotations_by_image(file: CocoFile, name: str) -> dict[str | None, tuple[list[Annotation], list[Reject]]]:
    """Annotations by picture, in file order, and those that cannot be used for want of a category."""
    labels = categories(file)
    groups: dict[str | None, tuple[list[Annotation], list[Reject]]] = {}
    for position, raw in enumerate(file.annotations):
        image_id, category, data = None, None, bytes(raw)
        try:
            value = item(raw)
            data = data if not data.startswith(b'"') else _unquoted(data)
            image_id, category = identity(value.get("image_id")), identity(value.get("category_id"))
        except (ValueError, AttributeError, RecursionError):
            pass
        found, dropped = groups.setdefault(image_id, ([], []))
        if category in labels and category is not None:
            label, stuff = labels[category]
            found.append(Annotation(label=label, raw=data, stuff=stuff))
        else:
            detail = f"annotations[{position}] has category {category}, which is not in categories."
            dropped.append(Reject(input=name, record=image_id, level="region", rule="category-unknown", detail=detail))
    return groups


def _unquoted(quoted: bytes) -> bytes:
    """The JSON inside a JSON string."""
    return str(msgspec.json.decode(quoted)).encode()
