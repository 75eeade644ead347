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
    opened, found, missing = _Opener(roots), list[Source](), list[str]()
    names = []
    for leaf in leaves(recipe):
        at = _place(leaf, roots)
        places = sorted(_datasets(at)) if leaf.source.glob else [at] if storage.exists(at) else []
        found += [Source(leaf, opened(each)) for each in places]
        if not places:
            names.append(leaf.source.dataset)
            missing.append(f"{leaf.source.dataset} (sought at {at})")
    if missing and not present:
        raise UsageError(
            f"{place}: sources that are not there: {', '.join(missing)}; build them, give --root PLACE, "
            "or --present to mix the others"
        )
    if not found:
        raise UsageError(f"{place}: none of its sources is there ({', '.join(missing)}); give --root PLACE")
    return found, names


def find_locked(lock: Lock, roots: Mapping[str, str], place: str) -> list[Source]:
    """The very datasets of a lock, by name and fingerprint: where its recipe says, or directly below ``--root PLACE``.

    Raises UsageError listing all that are missing or differ.
    """
    opened, found, wrong = _Opener(roots), list[Source](), list[str]()
    by_field = {leaf.field: leaf for leaf in leaves(lock.recipe)}
    below = {directory: description.load(directory) for directory in _datasets(storage.join(roots.get("", "."), "*"))}
    for number, locked in enumerate(lock.sources):
        leaf = by_field[locked.field]
        likely = _place(leaf, roots)
        candidates = {likely: None} if storage.exists(storage.join(likely, layout.DESCRIPTION)) else {}
        if locked.name in roots:
            candidates = {roots[locked.name]: None, **candidates}
        candidates |= {directory: None for directory, made in below.items() if made.name == locked.name}
        matching = [each for each in candidates if opened(each).fingerprint == locked.fingerprint]
        if matching:
            found.append(Source(leaf, opened(matching[0])))
        elif candidates:
            other = opened(next(iter(candidates)))
            field, before, after = "fingerprint", locked.fingerprint, other.fingerprint
            wrong.append(f"sources[{number}].{field} was {before!r}, is {after!r} here ({other.directory})")
        else:
            wrong.append(f"sources[{number}] is missing: {locked.name!r} with fingerprint {locked.fingerprint!r}")
    if wrong:
        raise UsageError(f"{place}: {'; '.join(wrong)}; the mix cannot be rebuilt from these sources")
    return found


def _place(leaf: Leaf, roots: Mapping[str, str]) -> str:
    name = leaf.source.dataset
    return roots.get(leaf.source.name, storage.join(roots[""], name) if "" in roots and not _absolute(name) else name)


def _absolute(name: str) -> bool:
    return os.path.isabs(name)


def _datasets(pattern: str) -> list[str]:
    """Complete datasets that match a pattern."""
    return [place for place in glob.glob(pattern) if storage.exists(storage.join(place, layout.DESCRIPTION))]


def locks_of(place: str) -> tuple[Lock | None, description.Description | None]:
    """What lies at a place: the lock and the description of a mix, a lock alone, or the description of a dataset.

    Raises InputError when it is neither.
    """
    from sphinx_data.mix import lock

    if not storage.exists(place):
        raise InputError(f"{place}: is not there; name a dataset, a mix or a lock file")
    if os.path.isfile(storage.local(place)):
        return lock.load(place), None
    beside = storage.join(place, lock.FILE)
    return lock.load(beside) if storage.exists(beside) else None, description.load(place)
