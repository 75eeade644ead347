"""Flickr30k Entities: captions whose phrases carry boxes.

Input: the folder with ``Sentences/*.txt``, ``Annotations/*.xml`` and perhaps ``train.txt``, ``val.txt``, ``test.txt``;
``--images`` is the folder of pictures (``<id>.jpg``). Where the folder has a list named after ``--split``, its pictures
are taken, else all. One sample a picture, a turn for each of its five captions: "Describe the image in one sentence and
give the bounding boxes of what you mention." -> "Two young guys [...; ...] with shaggy hair [...] look at ...". Phrases
without a box (scenes, and what cannot be seen) stay text. Boxes are counted from 1 as in VOC. Captions are detokenised.
Annotations: free for research (http://bryanplummer.com/Flickr30kEntities/); pictures have Flickr's terms. No published
file was at hand for the tests: they write the published layout.
"""

import os
import re
from collections.abc import Iterator
from typing import Annotated
from xml.etree import ElementTree

import msgspec

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import CommonOptions as CommonOptions
from sphinx_data.convert._common import UniqueIds, clean_text, find_media, limited
from sphinx_data.convert._grounded import Box, Grounded, Phrase, grounds
from sphinx_data.convert._objects import PictureRecord, of_picture, opened, reject
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._sample import about_image, built
from sphinx_data.convert._xml import number, parsed, whole
from sphinx_data.errors import InputError
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, Part, Reject

LICENSE = "research-only"
_PHRASE = re.compile(r"\[/EN#(\d+)(?:/[^\s\]]+)* ([^\]]*)\]")
_SPACED = re.compile(r"\s+(?=(?:[.,!?;:)%]|'s\b|'re\b|'ll\b|n't\b))|(?<=[(])\s+")
_FOLDERS = ("", "flickr30k-images/", "flickr30k_images/", "images/")


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    captions: Annotated[int, msgspec.Meta(ge=1)] = 5  # at most so many of a picture


class Record(PictureRecord, frozen=True, kw_only=True):
    """One picture: its sentences and its boxes, as files."""

    sentences: bytes = b""
    boxes: bytes = b""


def recognise(glimpse: Glimpse) -> bool:
    """A folder with Sentences and Annotations."""
    return glimpse.is_folder and all(
        os.path.isdir(storage.join(glimpse.path, name)) for name in ("Sentences", "Annotations")
    )


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every file of sentences, in order of its name; then boxes without sentences."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    folder = inputs.annotations[0]
    sentences, annotations = storage.join(folder, "Sentences"), storage.join(folder, "Annotations")
    if not os.path.isdir(sentences) or not os.path.isdir(annotations):
        raise InputError(f"{folder}: has no folders Sentences and Annotations, as Flickr30k Entities has")
    listed = storage.join(folder, f"{options.split}.txt")
    lines = storage.read_bytes(listed).decode("utf-8", "replace").split() if os.path.isfile(listed) else None
    wanted = None if lines is None else set(lines)
    unique, root = UniqueIds(options.source), inputs.places()["images"]
    missing = set(wanted or ())
    for name, size in storage.list_files(sentences):
        stem, extension = os.path.splitext(clean_text(name))
        if extension != ".txt" or size < 0 or (wanted is not None and stem not in wanted):
            continue
        missing.discard(stem)
        xml = storage.join(annotations, f"{stem}.xml")
        record = Record(input=f"Sentences/{stem}.txt", id=unique(stem))
        if not os.path.isfile(xml):
            lost = reject(record, "record", "annotation-missing", f"There is no Annotations/{stem}.xml.")
            yield Record(input=record.input, rejects=(lost,))
            continue
        yield Record(
            input=record.input, id=record.id, media=find_media(root, *(f"{place}{stem}.jpg" for place in _FOLDERS)),
            sentences=storage.read_bytes(storage.join(sentences, name)), boxes=storage.read_bytes(xml),
        )  # fmt: skip
    for stem in sorted(missing):
        detail = f"{stem} is listed in {options.split}.txt, and has no sentences."
        lost = Reject(
            input=f"{options.split}.txt", record=stem, level="record", rule="annotation-missing", detail=detail
        )
        yield Record(input=lost.input, rejects=(lost,))


@of_picture
def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample with the rejects of its boxes and captions, or the reject of the picture."""
    root = parsed(record.boxes)
    if root is None:
        yield reject(record, "file", "xml-invalid", "Its Annotations file is not XML that can be read.")
        return
    size = root.find("size")
    width, height = (whole(size.findtext(key)) if size is not None else 0 for key in ("width", "height"))
    picture, frame = opened(record, options, places, width, height)
    grounded = Grounded(frame, record.input, record.record, record.id)
    boxes = _boxes(root, grounded)
    turns: list[tuple[str, tuple[Part, ...]]] = []
    lines = [line for line in record.sentences.decode("utf-8", "replace").splitlines() if line.strip()]
    for place, line in enumerate(lines):
        parts = grounded.parts(_phrases(line, boxes)) if place < options.captions else ()
        if place >= options.captions:
            grounded.reject("turn", "not-asked", f"Caption {place}: more than captions={options.captions}.")
        elif not grounds(parts):
            grounded.reject("turn", "no-boxes", f"Caption {place}: no phrase of it has a box.")
        else:
            kind = "another" if turns else "question"
            turns.append((choose("grounded-caption", kind, record.id, len(turns)), parts))
    yield from grounded.rejects
    if not turns:
        yield reject(record, "image", "no-captions", "No caption with boxes is left.")
        return
    yield built(
        record, options, [picture], domain="vision", task="grounded-caption", language="en", license=LICENSE,
        regions=grounded.regions, messages=about_image(turns),
    )  # fmt: skip


def _boxes(root: ElementTree.Element, grounded: Grounded) -> dict[str, list[Box]]:
    """Boxes by the number of their phrase; one box may belong to several."""
    boxes: dict[str, list[Box]] = {}
    for place, entry in enumerate(root.findall("object")):
        box = entry.find("bndbox")
        if box is None:
            continue  # a scene, or nothing that can be seen
        sides = [number(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")]
        x0, y0, x1, y1 = (side if side is not None else -1.0 for side in sides)
        if None in sides:
            grounded.reject("region", "box-invalid", f"object {place}: its box is not four numbers.")
            continue
        for name in entry.findall("name"):
            boxes.setdefault((name.text or "").strip(), []).append((x0 - 1, y0 - 1, x1, y1))
    return boxes


def _phrases(line: str, boxes: dict[str, list[Box]]) -> Iterator[Phrase]:
    """A line of Sentences as plain text and phrases."""
    last = 0
    for match in _PHRASE.finditer(line):
        yield _plain(line[last : match.start()]), ()
        yield _plain(match[2]).strip(), boxes.get(match[1], ())
        last = match.end()
    yield _plain(line[last:]).rstrip(), ()


def _plain(text: str) -> str:
    """Without the spaces that tokenising put before punctuation."""
    return _SPACED.sub("", text)
