"""From weights, temperatures, budgets and schedules to whole numbers of samples."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sphinx_data.errors import UsageError
from sphinx_data.mix.find import Source
from sphinx_data.mix.recipe import Group, Recipe
from sphinx_data.order import largest_remainder

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Totals(NamedTuple):
    """How many samples of each of S sources; of a schedule, in each of its phases."""

    samples: Integers  # [phases, S]
    requested: Floats  # [S], share of the free part in the recipe's unit; nan where no weight asks for it


def totals(recipe: Recipe, sources: Sequence[Source], sizes: Integers, amounts: Floats, place: str) -> Totals:
    """Turn a recipe into whole numbers.

    Args:
        recipe: what is asked for.
        sources: S of them.
        sizes: rows of one epoch, int64[S].
        amounts: what an epoch holds of the recipe's unit, float64[S].
        place: the recipe's file, named in errors.

    Raises UsageError for a total that cannot be, and for a source whose share rounds to nothing.
    """
    fixed, free = _fixed(sources, sizes)
    rest = round((recipe.epochs or 1) * int(sizes[free].sum()))
    if recipe.total is not None:
        rest = recipe.total - int(fixed.sum())
        if rest < 0 or (rest and not free.any()):
            raise UsageError(
                f"{place}: total: is {recipe.total}, but epochs and counts alone ask for {fixed.sum()}; "
                "leave total out or give a weight"
            )
    tree = _Tree(recipe, sources, free, amounts)
    _refuse_nothing_to_weigh(recipe, sources, free, amounts, place)
    lengths, weights = _phases(recipe, tree, int(fixed.sum()) + rest)
    samples, left = [], np.append(fixed, rest)
    for length, weight in zip(lengths, weights, strict=True):
        # what is fixed is spread over the phases; exact shares of what is left are never more than what is left
        taken = largest_remainder(left.astype(np.float64), length) if length else np.zeros_like(left)
        left = left - taken
        samples.append(taken[:-1] + _free(recipe, weight, free, sizes, amounts, int(taken[-1]), place))
    found = np.stack(samples)
    for number in np.flatnonzero(found.sum(axis=0) == 0):
        field = sources[number].leaf.field
        raise UsageError(f"{place}: {field}: its share of {found.sum()} samples rounds to none; raise total")
    return Totals(found, _requested(tree, lengths, weights))


def _fixed(sources: Sequence[Source], sizes: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Samples of sources with epochs or count, int64[S]; and which sources are free, bool[S]."""
    fixed = np.zeros(len(sources), dtype=np.int64)
    free = np.array([not source.leaf.source.fixed for source in sources], dtype=bool)
    fields = np.array([source.leaf.field for source in sources])
    for number, source in enumerate(sources):
        asked = source.leaf.source
        if asked.epochs is not None:
            fixed[number] = max(1, round(asked.epochs * int(sizes[number])))
        elif asked.count is not None and not fixed[number]:
            together = fields == source.leaf.field  # a glob shares its count by size
            fixed[together] = largest_remainder(sizes[together].astype(np.float64), asked.count)
    return fixed, free


class _Tree:
    """Weights of the free sources as products of the weights above them."""

    def __init__(self, recipe: Recipe, sources: Sequence[Source], free: NDArray[np.bool_], amounts: Floats) -> None:
        self.recipe, self.amounts = recipe, amounts
        self.of: dict[str, list[int]] = {}  # field -> numbers of its free sources
        for number, source in enumerate(sources):
            if free[number]:
                self.of.setdefault(source.leaf.field, []).append(number)
        self.asked = np.zeros(len(amounts), dtype=bool)  # a weight is given here or above

    def weights(self, changed: Mapping[str, float]) -> Floats:
        """Weight of every source, float64[S], 0 for fixed ones; `changed` replaces weights by name."""
        found = np.zeros(len(self.amounts))
        self._split(self.recipe, "", 1.0, self.recipe.temperature or 1.0, changed, found, False)
        return found

    def _split(
        self, level: Recipe | Group, field: str, budget: float, temperature: float, changed: Mapping[str, float],
        found: Floats, asked: bool,
    ) -> None:  # fmt: skip
        children: list[tuple[str, float | None, str, Group | None]] = [
            (source.name, source.weight, f"{field}sources[{number}]", None)
            for number, source in enumerate(level.sources)
        ]
        children += [(name, group.weight, f"{field}groups.{name}.", group) for name, group in level.groups.items()]
        shares: list[tuple[str, Group | None, list[int], float, bool]] = []
        for name, weight, where, group in children:
            members = self._below(where, group)
            size = float(self.amounts[members].sum())
            if not members:
                continue
            if weight is None and group is None:  # a glob without weight: each dataset is a source of its own
                shares += [(where, None, [n], float(self.amounts[n]) ** (1 / temperature), asked) for n in members]
            else:
                share = size ** (1 / temperature) if weight is None else changed.get(name, weight)
                shares.append((where, group, members, share, asked or weight is not None))
        # the outermost level is left as it was written: dividing would only lose digits
        whole = sum(share for *_, share, _ in shares) if level is not self.recipe else 1.0
        for where, group, members, share, given in shares:
            part = budget * share / whole if whole else 0.0
            self.asked[members] |= given
            if group is not None:
                self._split(group, where, part, group.temperature or temperature, changed, found, given)
            else:
                found[members] = part * (self.amounts[members] / self.amounts[members].sum() if len(members) > 1 else 1)

    def _below(self, field: str, group: Group | None) -> list[int]:
        if group is None:
            return self.of.get(field, [])
        return [number for name, numbers in self.of.items() if name.startswith(field) for number in numbers]


def _phases(recipe: Recipe, tree: _Tree, total: int) -> tuple[list[int], list[Floats]]:
    """Length and weights of each phase of the schedule; one phase without a schedule."""
    changed: dict[str, float] = {}
    starts, weights = [0], [tree.weights(changed)]
    for phase in recipe.schedule:
        changed = {**changed, **phase.weights}
        if phase.at == 0:
            starts, weights = [], []
        starts.append(phase.at)
        weights.append(tree.weights(changed))
    return np.diff([*starts, total]).tolist(), weights


def _free(
    recipe: Recipe, weights: Floats, free: NDArray[np.bool_], sizes: Integers, amounts: Floats, rest: int, place: str
) -> Integers:
    """Samples of the free sources, int64[S], `rest` in all."""
    found = np.zeros(len(sizes), dtype=np.int64)
    if not free.any() or not rest:
        return found
    per_sample = amounts[free] / sizes[free]
    if recipe.unimax is not None:
        wanted = unimax(sizes[free], amounts[free], recipe.unimax, rest, place)
    else:
        wanted = weights[free] if recipe.unit == "samples" else weights[free] / per_sample
    if not wanted.any():
        raise UsageError(f"{place}: schedule: every weight is 0 in one of its phases; give one of them a weight")
    found[free] = largest_remainder(wanted, rest)
    return found


def unimax(sizes: Integers, amounts: Floats, ceiling: float, rest: int, place: str) -> Floats:
    """Samples of each source by UniMax (Chung et al. 2023, arXiv 2304.09151, algorithm 1), float64[S].

    Equal budgets of the unit, handed out in ascending order of size, none above `ceiling` epochs.

    Args:
        sizes: rows of one epoch, int64[S].
        amounts: what an epoch holds of the unit, float64[S].
        ceiling: most epochs of one source.
        rest: samples in all.
        place: the recipe's file, named in errors.

    Raises UsageError when the ceiling does not allow so many samples.
    """
    most = int(ceiling * sizes.sum())
    if rest > most:
        raise UsageError(
            f"{place}: unimax: {ceiling:g} epochs of {sizes.sum()} samples are {most}, but {rest} are asked for; "
            "lower total or raise unimax"
        )

    def samples(budget: float) -> Floats:
        given = np.zeros(len(sizes))
        for done, number in enumerate(np.argsort(amounts, kind="stable")):
            given[number] = min(budget / (len(sizes) - done), ceiling * amounts[number])
            budget -= given[number]
        return given / amounts * sizes

    low, high = 0.0, float(ceiling * amounts.sum())
    for _ in range(100):  # the budget in the unit that gives `rest` samples; monotone, so halving finds it
        middle = (low + high) / 2
        low, high = (middle, high) if samples(middle).sum() < rest else (low, middle)
    return samples(high)


def _requested(tree: _Tree, lengths: list[int], weights: list[Floats]) -> Floats:
    shares = [weight / weight.sum() if weight.any() else weight for weight in weights]
    mean = sum(length * share for length, share in zip(lengths, shares, strict=True)) / max(sum(lengths), 1)
    return np.where(tree.asked, mean, np.nan)


def _refuse_nothing_to_weigh(
    recipe: Recipe, sources: Sequence[Source], free: NDArray[np.bool_], amounts: Floats, place: str
) -> None:
    for number in np.flatnonzero(free & (amounts == 0)):
        source = sources[number]
        raise UsageError(
            f"{place}: {source.leaf.field}: unit is {recipe.unit}, but {source.dataset.name!r} has none; "
            "give it epochs or count, or choose another unit"
        )
