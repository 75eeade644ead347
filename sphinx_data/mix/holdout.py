"""Holding samples out by content: samples that share an image, directly or through others, go together."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sphinx_data import order
from sphinx_data.dataset.description import hash_array

_HELD_OUT = 3  # what the key is for; order.py uses 1 and 2


def held_out(table: pa.Table, share: float, seed: int) -> NDArray[np.bool_]:
    """Which samples are held out, bool[N]: a pure function of seed and content, the same in every mix.

    Args:
        table: columns `images` and `content` of all sources together, so that shared images are seen.
        share: expected share of the groups.
        seed: of the recipe.
    """
    groups = _groups(table)
    drawn = order.key(seed, np.full(len(groups), _HELD_OUT), groups.astype(np.int64))
    return drawn < np.uint64(min(int(share * 2**64), 2**64 - 1))


def _groups(table: pa.Table) -> NDArray[np.uint64]:
    """One number a sample, equal for samples connected through images: the smallest image hash, else the content."""
    images = table["images"].combine_chunks()
    hashes = _numbers(pc.struct_field(images.flatten(), "xxh3"))
    counts = pc.list_value_length(images).fill_null(0).to_numpy()
    groups = _numbers(table["content"]).copy()
    starts = np.concatenate([[0], np.cumsum(counts)])
    has = np.flatnonzero(counts)
    if not len(has):
        return groups
    root = _Roots()
    for row in np.flatnonzero(counts > 1):
        root.join(hashes[starts[row] : starts[row + 1]].tolist())
    groups[has] = hashes[starts[has]]
    if root.parents:
        groups[has] = np.fromiter((root.find(value) for value in groups[has].tolist()), np.uint64, len(has))
    return groups


def _numbers(values: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    """The first eight bytes of 16-byte hashes."""
    return hash_array(values).view(np.uint64)[:, 0]


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
