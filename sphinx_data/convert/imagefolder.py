"""Image folders: one folder a class, or pictures with a file of labels (ImageNet, torchvision's ImageFolder).

Input: a folder whose sub-folders are classes, ``DIR/<class>/**/<picture>``, and perhaps text files after it:

- names of classes: a JSON object ``{"n01440764": "tench"}`` or lines ``n01440764 tench, Tinca tinca``, such as
  ImageNet's ``LOC_synset_mapping.txt`` (the first name is used); without one, names are the folders' made readable;
- labels of pictures that lie in no class folder, such as ImageNet's val: ``LOC_val_solution.csv``, or lines
  ``ILSVRC2012_val_00000001.JPEG 65`` with a class, or its number in the sorted names.

One sample a picture: "Classify the image." -> "This is a [CLASS]." as in SPHINX. Labels of pictures were tested on
files made after ImageNet's description. The licence is the data set's own: give it with ``--license``.
"""

import json
import os
import re
from collections.abc import Iterator

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import (
    CommonOptions,
    Media,
    RejectedError,
    UniqueIds,
    clean_text,
    limited,
    load_image,
)
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._sample import about_image, built
from sphinx_data.errors import InputError, UsageError
from sphinx_data.phrasing import choose, english
from sphinx_data.sample import Built, Reject, Struct

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".avif")
_MASK = re.compile(r"(.*)_(?:seg|mask|masks|parts_\d+|gt|labels?|annotation)", re.IGNORECASE)
_SPLITS = {"train", "val", "valid", "validation", "test", "training", "testing"}
_PARTS = {  # folders of a data set of another kind, no classes
    "images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "masks", "labels", "annotations",
    "segmentationclass", "segmentationobject", "gtfine", "gtcoarse", "leftimg8bit", "gt", "ground_truth", "depth",
}  # fmt: skip


class Options(CommonOptions, frozen=True, kw_only=True):
    """Parameters of this format."""


class Record(Struct, frozen=True, kw_only=True):
    """One picture, or the reject of a file that is none."""

    input: str
    id: str = ""
    media: Media = Media(name="")
    label: str = ""
    reject: Reject | None = None

    @property
    def record(self) -> None:
        """A picture is a file of its own."""

    @property
    def weight(self) -> int:
        """Bytes of the picture."""
        return max(self.media.size, 0)


def read_names(place: str) -> dict[str, str]:
    """A names file, JSON or lines (see the module's docstring). Raises InputError naming file and line."""
    text = storage.read_bytes(place).decode("utf-8-sig", "replace")
    if text.lstrip().startswith("{"):
        try:
            names = json.loads(text)
        except ValueError as error:
            raise InputError(f"{place}: is not valid JSON ({error})") from None
        if not all(isinstance(name, str) for name in names.values()):
            raise InputError(f"{place}: every folder needs one name, a string")
        return dict(names)
    names = {}
    for number, line in enumerate(text.splitlines(), 1):
        folder, _, name = line.strip().replace("\t", " ").partition(" ")
        if folder and not name.strip():
            raise InputError(f"{place}:{number}: has no name after {folder!r}")
        if folder:
            names[folder] = name.split(",")[0].strip()
    return names


def _is_labels(text: str) -> bool:
    """Whether lines begin with pictures rather than with classes."""
    first = text.lstrip().partition("\n")[0]
    return first.startswith("ImageId,") or first.split(" ")[0].split("\t")[0].lower().endswith(_EXTENSIONS)


def read_labels(place: str, names: dict[str, str]) -> dict[str, str]:
    """A labels file: picture without its extension -> class. Raises InputError naming file and line."""
    labels: dict[str, str] = {}
    numbered = sorted(names)
    for number, line in enumerate(storage.read_bytes(place).decode("utf-8-sig", "replace").splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words or words[0] == "ImageId":
            continue
        if len(words) < 2:
            raise InputError(f"{place}:{number}: has no class after {words[0]!r}")
        said = words[1]
        if said not in names and said.isascii() and said.isdigit():
            if int(said) >= len(numbered):
                raise InputError(f"{place}:{number}: class {said} needs a names file that has it")
            said = numbered[int(said)]
        labels[os.path.splitext(words[0])[0] if words[0].lower().endswith(_EXTENSIONS) else words[0]] = said
    return labels


def recognise(glimpse: Glimpse) -> bool:
    """A folder with several folders below it, most files pictures in these, without annotation files; or splits."""
    pictures = [name for name in glimpse.names if "/" in name and name.lower().endswith(_EXTENSIONS)]
    tables = [name for name in glimpse.names if name.endswith((".json", ".jsonl", ".tsv", ".lst"))]
    within = any("/" in name and name.lower().endswith((".csv", ".xml")) for name in glimpse.names)
    annotated = within or len(tables) > 1 or any("/" not in name for name in tables) or _has_masks(pictures)
    if not glimpse.is_folder or annotated or 2 * len(pictures) <= len(glimpse.names):
        return False
    folders = {entry.name.lower() for entry in os.scandir(glimpse.path) if entry.is_dir()}
    if folders <= _SPLITS:
        below = {part for name in pictures for part in name.lower().split("/")[1:-1][:1]}
        return bool(below) and not below & _PARTS
    return len(folders) > 1 and not folders & (_SPLITS | _PARTS)


def _has_masks(pictures: list[str]) -> bool:
    """Whether a picture has its segmentation beside it, ``x_seg.png`` beside ``x.jpg``, as in ADE20K."""
    stems = {os.path.splitext(name)[0] for name in pictures}
    return any(match and match[1] in stems for match in map(_MASK.fullmatch, stems))


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every file below the folders, in order of its name."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    folder, *files = inputs.annotations
    if len(files) > 2 or any(map(os.path.isdir, files)) or inputs.images is not None:
        raise UsageError("imagefolder: give one folder of class folders, perhaps names and labels files, no --images")
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: is not a folder of class folders")
    _refuse_splits(folder)
    names, labels = _read(files)
    unique = UniqueIds(options.source)
    for name, size in storage.list_files(folder):
        first, slash, _ = name.partition("/")
        stem = os.path.splitext(name)[0]
        if name != clean_text(name):
            yield _rejected(name, "name-not-utf8", "The file's name is not UTF-8.")
        elif not name.lower().endswith(_EXTENSIONS):
            yield _rejected(name, "not-an-image", "The file's extension is not one of a picture.")
        elif (label := labels.pop(stem, first if slash else None)) is None:
            yield _rejected(name, "no-class", "The picture lies in no class folder, and no labels file has it.")
        else:
            label = clean_text(names.get(label) or english.readable(label))
            yield Record(input=name, id=unique(stem), media=Media(name=name, size=size), label=label)
    for stem in labels:
        yield _rejected(stem, "image-missing", "The labels file has it, the folder does not.")


def _refuse_splits(folder: str) -> None:
    found = sorted(name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name)))
    if found and set(found) <= _SPLITS:
        raise UsageError(f"{folder}: has the folders {', '.join(found)}, which are no classes; give one of them")


def _read(files: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Names of classes, and labels of pictures, whichever files there are."""
    places = {_is_labels(storage.read_bytes(place)[:4096].decode("utf-8-sig", "replace")): place for place in files}
    if len(places) != len(files):
        raise UsageError(f"imagefolder: {files[0]} and {files[1]} are of one kind; give names and labels")
    names = read_names(places[False]) if False in places else {}
    return names, read_labels(places[True], names) if True in places else {}


def _rejected(name: str, rule: str, detail: str) -> Record:
    name = clean_text(name)
    return Record(input=name, reject=Reject(input=name, level="file", rule=rule, detail=detail))


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample, or one reject."""
    if record.reject is not None:
        yield record.reject
        return
    try:
        picture = load_image(record.media, options, places)
    except RejectedError as error:
        yield Reject(input=record.input, id=record.id, level="image", rule=error.rule, detail=error.detail)
        return
    question = choose("classification", "question", record.id)
    answer = choose("classification", "answer", record.id).format(a_class=english.with_article(record.label))
    yield built(
        record, options, [picture], domain="vision", task="classification", language="en",
        messages=about_image([(question, answer)]), meta={"class": record.label},
    )  # fmt: skip
