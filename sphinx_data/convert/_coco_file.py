"""A COCO-form JSON file as planning needs it: annotations by picture, categories and licences by id."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from sphinx_data.convert._common import clean_text
from sphinx_data.convert._groups import Grouped, Groups
from sphinx_data.convert._json_items import Item, JsonFile, entry_of, value
from sphinx_data.convert._json_spans import Run
from sphinx_data.errors import InputError
from sphinx_data.licenses import from_coco
from sphinx_data.phrasing import english
from sphinx_data.sample import Reject, Struct

_LAYOUT_CLASSES = 100
_OTHER = 0xFFFFFFFF  # tag of a category that is not in the file's list
COCO_LICENSE = "CC-BY-4.0"  # https://cocodataset.org/#termsofuse; LVIS has the same


class Annotation(Struct, frozen=True, kw_only=True):
    """One annotation as it stands in the file, with what the rest of the file says about it."""

    label: str
    raw: bytes
    stuff: bool = False


class Category(NamedTuple):
    """A class: its readable name, whether it is stuff (sky, wall) that cannot be counted, names of its key points."""

    name: str
    stuff: bool = False
    keypoints: tuple[str, ...] = ()


class CocoFile:
    """A file open for planning: pictures in file order, their annotations by id. A context manager."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = JsonFile(path)
        self._members = self.file.members()
        offset, _ = self._members.get("images", (0, 0))
        if not offset or self.file.read(offset, 1) != b"[":
            is_result = not self._members and any("score" in entry_of(found.raw) for found in self._first())
            self.file.close()
            if is_result:
                raise InputError(f"{path}: is a list of results of a model; give the file of annotations")
            raise InputError(f"{path}: is not a JSON object with a list of images, as COCO's files are")
        self.categories = categories(self.items("categories"))
        self._labels = [(category.name, category.stuff) for category in self.categories.values()]
        self._numbers: dict[int | str | None, int] = {}  # of categories; 7 and "7" are one
        for number, key in enumerate(self.categories):
            if key is not None:
                self._numbers[key] = number
                if key.isdecimal() and str(int(key)) == key:
                    self._numbers[int(key)] = number
        self.licenses = licenses(self.items("licenses"))
        offset, size = self._members.get("info", (0, 0))
        said = entry_of(self.file.read(offset, min(size, 1 << 16)))
        self.license = COCO_LICENSE if "cocodataset.org" in str(said.get("url")) else None  # of the annotations

    def __enter__(self) -> "CocoFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def _first(self) -> list[Item]:
        try:
            return list(islice(self.file.items(), 1))
        except InputError:
            return []

    def items(self, name: str) -> Iterator[Item]:
        """The items of one of the file's lists; none where it is not there."""
        return self.file.children(self._members[name]) if name in self._members else iter(())

    def by_image(self) -> Groups:
        """The annotations by the id of their picture; None for those without. Tags say which category they name."""
        groups = Groups(self.file)
        for run in self.file.runs(self._members.get("annotations", (0, 0))):
            found = _keys_of(run)
            tags = [self._numbers.get(key.category_id, _OTHER) for key in found]
            groups.extend([key.image_id for key in found], run.base + run.starts, run.ends - run.starts, tags)
        return groups

    def sorted_out(
        self, annotations: list[Grouped], name: str, record: str | None
    ) -> tuple[list[Annotation], list[Reject]]:
        """The annotations that have a category, and rejects of the others."""
        found, dropped = [], []
        for position, raw, tag in annotations:
            if tag != _OTHER:
                label, stuff = self._labels[tag]
                found.append(Annotation(label=label, raw=raw, stuff=stuff))
            else:
                category = _key(raw).category_id
                detail = f"annotations[{position}] has category {category}, which is not in categories."
                dropped.append(
                    Reject(input=name, record=record, level="region", rule="category-unknown", detail=detail)
                )
        return found, dropped


class _Keys(msgspec.Struct, gc=False):
    image_id: int | str | None = None
    category_id: int | str | None = None


_decode_keys = msgspec.json.Decoder(_Keys).decode
_decode_all_keys = msgspec.json.Decoder(list[_Keys]).decode


def _keys_of(run: Run) -> list[_Keys]:
    """What each of many annotations is of; texts as `identity` gives them."""
    try:
        found = _decode_all_keys(run.as_list())
        if len(found) == len(run.starts) and all(type(k.image_id) is int and type(k.category_id) is int for k in found):
            return found
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    return [_key(span.raw) for span in run.spans()]


def image_of(raw: bytes) -> str | None:
    """The picture of an annotation; None where it names none."""
    return identity(_key(raw).image_id)


def _key(raw: bytes) -> _Keys:
    try:
        found = _decode_keys(raw)
        return _Keys(identity(found.image_id), identity(found.category_id))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        loose = value(raw)  # NaN, an id that is neither number nor text
    except ValueError:
        return _Keys()
    return (
        _Keys(identity(loose.get("image_id")), identity(loose.get("category_id")))
        if isinstance(loose, dict)
        else _Keys()
    )


def picture_names(entry: dict[str, Any]) -> list[str]:
    """Names under which a picture may lie: as written, its last parts (Objects365), and the end of its URL (LVIS)."""
    names = []
    if isinstance(said := entry.get("file_name"), str):
        names.append(said)
        if "/" in said:
            names += [_last_parts(said, 1), _last_parts(said, 2)]
    if isinstance(said := entry.get("coco_url"), str):
        names += [_last_parts(said, 2), _last_parts(said, 1)]
    return names


def _last_parts(name: str, count: int) -> str:
    return "/".join(name.split("/")[-count:])


def length(said: Any) -> int:
    """A width or height as the file says it, 0 where it says none that can be."""
    whole = isinstance(said, (int, float)) and not isinstance(said, bool) and 0 < said < 2**31
    return int(said) if whole and said == int(said) else 0


def identity(said: Any) -> str | None:
    """An id as a key, so that 7 and "7" are one picture; None for what cannot be an id."""
    if type(said) is int:  # the usual case
        return str(said)
    return clean_text(str(said)) if isinstance(said, (int, str)) and not isinstance(said, bool) else None


def _objects(items: Iterator[Item]) -> Iterator[dict[str, Any]]:
    for found in items:
        try:
            entry = value(found.raw)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def categories(items: Iterator[Item]) -> dict[str | None, Category]:
    """Categories by id. Names that are all written as titles (Objects365), or of a layout, become lower case."""
    entries = [e for e in _objects(items) if isinstance(e.get("name"), str) and e["name"].strip()]
    names = [english.readable(clean_text(entry["name"])) for entry in entries]
    plain = list(map(_plain, names))
    names = plain if is_layout(plain) else english.untitled(names)
    return {
        identity(entry.get("id")): Category(name, _is_stuff(entry), _keypoint_names(entry))
        for entry, name in zip(entries, names, strict=True)
    }


def is_layout(names: Iterable[str]) -> bool:
    """Whether classes are those of a document's blocks, as in PubLayNet, DocLayNet, M6Doc and D4LA."""
    known = set(names)
    if "table" not in known or len(known) > _LAYOUT_CLASSES:
        return False
    words = {word for name in known for word in name.split()}
    return bool(words & {"text", "paragraph"}) and bool(words & {"title", "header", "caption"})


def _plain(name: str) -> str:
    """``Section-header`` and ``ParaTitle`` as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("-", " ").lower()


def _keypoint_names(category: dict[str, Any]) -> tuple[str, ...]:
    names = category.get("keypoints")
    return tuple(clean_text(str(name)) for name in names) if isinstance(names, list) else ()


def licenses(items: Iterator[Item]) -> dict[str, str]:
    """Licence id -> SPDX id."""
    found = {identity(entry.get("id")): from_coco(entry) for entry in _objects(items)}
    return {key: name for key, name in found.items() if key is not None}


def _is_stuff(category: dict[str, Any]) -> bool:
    """By COCO's flag, else by the endings that COCO gives to names of stuff."""
    return category.get("isthing", 1) == 0 or category["name"].endswith(("-merged", "-other", "-stuff"))
