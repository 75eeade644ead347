"""From the names in a recipe or a lock to open datasets."""

import glob
import os
from collections.abc import Mapping
from typing import NamedTuple

from sphinx_data import storage
from sphinx_data.dataset import description, layout
from sphinx_data.dataset.reader import Dataset, open_dataset
from sphinx_data.errors import InputError, UsageError
from sphinx_data.mix.lock import Lock
from sphinx_data.mix.recipe import Leaf, Recipe, leaves


class Source(NamedTuple):
    """One dataset of a mix and the leaf of the recipe that names it; a glob gives several of them."""

    leaf: Leaf
    dataset: Dataset


class _Opener:
    """Opens every directory once, so that a dataset that is named twice is scanned once."""

    def __init__(self, roots: Mapping[str, str]) -> None:
        self.roots, self._open = roots, dict[str, Dataset]()

    def __call__(self, place: str) -> Dataset:
        if place not in self._open:
            self._open[place] = open_dataset(place, self.roots)
        return self._open[place]


def find(recipe: Recipe, roots: Mapping[str, str], place: str, present: bool = False) -> tuple[list[Source], list[str]]:
    """The sources of a recipe, and the names of those that are missing.

    Args:
        recipe: names datasets below ``--root PLACE``, at ``--root NAME=PLACE``, or from the working folder.
        roots: as `open_dataset` takes them.
        place: the recipe's file, named in errors.
        present: leave out what is missing; at least one must be there.

    Raises UsageError listing every source that is missing, unless `present`.
    """
    opened = _Opener(roots)
    places = [(leaf, _places(leaf, roots)) for leaf in leaves(recipe)]
    found = [Source(leaf, opened(each)) for leaf, there in places for each in there]
    missing = [leaf for leaf, there in places if not there]
    sought = ", ".join(f"{leaf.source.dataset} (sought at {_place(leaf, roots)})" for leaf in missing)
    if missing and not present:
        raise UsageError(
            f"{place}: sources that are not there: {sought}; build them, give --root PLACE, "
            "or --present to mix the others"
        )
    if not found:
        raise UsageError(f"{place}: none of its sources is there: {sought}; build them or give --root PLACE")
    return found, [leaf.source.dataset for leaf in missing]


def directories(
    recipe: Recipe, roots: Mapping[str, str], place: str, expected: Lock | None = None, present: bool = False
) -> list[str]:
    """Every directory that a mix of this recipe, or of this lock, would read: its sources and what those point into."""
    sources = find_locked(expected, roots, place) if expected else find(recipe, roots, place, present)[0]
    waiting, found = [source.dataset for source in sources], list[str]()
    while waiting:
        dataset = waiting.pop()
        found.append(dataset.directory)
        waiting += dataset.sources
    return found


def _places(leaf: Leaf, roots: Mapping[str, str]) -> list[str]:
    """Directories that a source names; none when it is not there."""
    at = _place(leaf, roots)
    if leaf.source.glob:
        # a mix has to be named: a pattern that finds one beside its own sources would take them twice
        return sorted(place for place in _datasets(at) if not storage.exists(storage.join(place, "rows")))
    return [at] if storage.exists(at) else []


def missing(recipe: Recipe, roots: Mapping[str, str]) -> list[str]:
    """Sources that are not there, in the order of the recipe."""
    return [leaf.source.dataset for leaf in leaves(recipe) if not _places(leaf, roots)]


def find_locked(lock: Lock, roots: Mapping[str, str], place: str) -> list[Source]:
    """The very datasets of a lock, by name and fingerprint: where its recipe says, or directly below ``--root PLACE``.

    Raises UsageError listing all that are missing or differ.
    """
    opened, found, wrong = _Opener(roots), list[Source](), list[str]()
    by_field = {leaf.field: leaf for leaf in leaves(lock.recipe)}
    below = _names_below(roots.get("", "."))
    for number, locked in enumerate(lock.sources):
        leaf = by_field[locked.field]
        given = [roots[locked.name]] if locked.name in roots else []
        likely = [place for place in _places(leaf, roots) if not leaf.source.glob or _name(place) == locked.name]
        candidates = list(dict.fromkeys([*given, *likely, *below.get(locked.name, [])]))
        matching = [each for each in candidates if opened(each).fingerprint == locked.fingerprint]
        if matching:
            found.append(Source(leaf, opened(matching[0])))
        elif candidates:
            other = opened(candidates[0])
            wrong.append(
                f"sources[{number}].fingerprint was {locked.fingerprint!r}, is {other.fingerprint!r} here "
                f"({other.directory})"
            )
        else:
            wrong.append(f"sources[{number}] is missing: {locked.name!r} with fingerprint {locked.fingerprint!r}")
    if wrong:
        raise UsageError(f"{place}: {'; '.join(wrong)}; the mix cannot be rebuilt from these sources")
    return found


def _names_below(folder: str) -> dict[str, list[str]]:
    """Directories of the datasets directly below a folder, by the name that they give themselves."""
    found: dict[str, list[str]] = {}
    for place in sorted(_datasets(storage.join(folder, "*"))):
        found.setdefault(_name(place), []).append(place)
    return found


def _name(place: str) -> str:
    try:
        return description.load(place).name
    except InputError:  # damaged, or of another format: whoever needs it will be told when it is opened
        return os.path.basename(place)


def _place(leaf: Leaf, roots: Mapping[str, str]) -> str:
    name = leaf.source.dataset
    below = storage.join(roots[""], name) if "" in roots and not os.path.isabs(name) else name
    return roots.get(leaf.source.name, below)


def _datasets(pattern: str) -> list[str]:
    """Complete datasets that match a pattern."""
    return [place for place in glob.glob(pattern) if storage.exists(storage.join(place, layout.DESCRIPTION))]
