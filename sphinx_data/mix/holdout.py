"""Holding samples out by content: samples that share an image, directly or through others, go together."""

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from sphinx_data import order
from sphinx_data.dataset.description import hash_array
from sphinx_data.dataset.reader import Dataset
from sphinx_data.mix import scan

_HELD_OUT = 3  # what the key is for; order.py uses 1 and 2
_IMAGES = "images.list.element.xxh3"


def held_out(datasets: Sequence[Dataset], share: float, seed: int) -> list[NDArray[np.bool_]]:
    """Which rows of each dataset are held out: a pure function of seed and content, the same in every mix.

    Args:
        datasets: all sources together, so that shared images are seen; a dataset may come several times.
        share: expected share of the groups.
        seed: of the recipe.
    """
    unique = {id(dataset): dataset for dataset in datasets}
    limit = np.uint64(min(int(share * 2**64), 2**64 - 1))
    drawn = {}
    for name, groups in zip(unique, _groups(list(unique.values())), strict=True):
        drawn[name] = order.key(seed, np.full(len(groups), _HELD_OUT), groups.view(np.int64)) < limit
    return [drawn[id(dataset)] for dataset in datasets]


def _groups(datasets: Sequence[Dataset]) -> list[NDArray[np.uint64]]:
    """One number a sample, equal for samples connected through images: the smallest image hash, else the content."""
    root = _Roots()
    found = [np.empty(len(dataset), dtype=np.uint64) for dataset in datasets]
    for dataset, groups in zip(datasets, found, strict=True):
        start = 0
        for table in scan.chunks(dataset, [_IMAGES, "content"]):
            images = table["images"].combine_chunks()
            hashes = hash_array(pc.struct_field(images.flatten(), "xxh3")).view(np.uint64)[:, 0]
            counts = pc.list_value_length(images).fill_null(0).to_numpy()
            starts = np.concatenate([[0], np.cumsum(counts)])
            for row in np.flatnonzero(counts > 1):
                root.join(hashes[starts[row] : starts[row + 1]].tolist())
            here = groups[start : start + len(table)]
            here[:] = hash_array(table["content"]).view(np.uint64)[:, 0]
            has = np.flatnonzero(counts)
            here[has] = hashes[starts[has]]
            start += len(table)
    if root.parents:
        known = np.sort(np.fromiter(root.parents, np.uint64, len(root.parents)))
        roots = np.fromiter((root.find(int(value)) for value in known.tolist()), np.uint64, len(known))
        for groups in found:
            at = np.minimum(np.searchsorted(known, groups), len(known) - 1)
            joined = known[at] == groups
            groups[joined] = roots[at[joined]]
    return found


class _Roots:
    """Union-find over image hashes; the smallest hash of a group stands for it, so input order does not matter."""

    def __init__(self) -> None:
        self.parents: dict[int, int] = {}

    def find(self, value: int) -> int:
        while (parent := self.parents.get(value, value)) != value:
            self.parents[value] = value = self.parents.get(parent, parent)
        return value

    def join(self, values: list[int]) -> None:
        roots = {self.find(value) for value in values}
        smallest = min(roots)
        for value in roots:
            self.parents[value] = smallest
