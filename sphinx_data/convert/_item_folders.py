"""Sets in which every question, or every picture, has a JSON file of its own."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from sphinx_data import storage
from sphinx_data.convert import Inputs
from sphinx_data.convert._common import clean_text
from sphinx_data.convert._json_items import object_of
from sphinx_data.errors import InputError


class ItemFile(NamedTuple):
    """One file of a set."""

    name: str  # below the annotation that was given, or its last part where that is the file
    folder: str  # of `name`, with a slash at its end; empty for none
    path: str


def item_files(inputs: Inputs, ending: str) -> Iterator[ItemFile]:
    """Every file below the folders whose path ends so, sorted, and every file given. Raises InputError for none."""
    for place in inputs.annotations:
        if not os.path.isdir(place):
            yield ItemFile(clean_text(os.path.basename(place)), "", place)
            continue
        found = False
        for name, size in storage.list_files(place):
            if f"/{name}".endswith(ending) and size >= 0:
                found = True
                folder = name.rpartition("/")[0]
                yield ItemFile(clean_text(name), f"{folder}/" if folder else "", os.path.join(place, name))
        if not found:
            raise InputError(f"{place}: has no file *{ending}, so it is no folder of this format")


def read_object(path: str) -> tuple[bytes, dict[str, Any]]:
    """A file and the object it holds. Raises RejectedError where it holds none."""
    raw = storage.read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    return raw, object_of(raw, "question-invalid")
