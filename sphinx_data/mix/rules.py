"""Keys of a recipe that contradict each other: one sentence each, naming file, field, value and mend."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sphinx_data.errors import UsageError

if TYPE_CHECKING:
    from sphinx_data.mix.recipe import Group, Recipe, SourceRecipe


def refuse_contradictions(recipe: "Recipe", place: str) -> None:
    """Raise UsageError for the first contradiction."""
    for field, sentence in _problems(recipe):
        raise UsageError(f"{place}: {field + ': ' if field else ''}{sentence}")


def _problems(recipe: "Recipe") -> Iterator[tuple[str, str]]:
    yield from _level(recipe, "", weighted=False)
    if recipe.total is not None and recipe.epochs is not None:
        yield "", f"give total or epochs, not both (total={recipe.total}, epochs={recipe.epochs})"
    if recipe.unit == "tokens" and recipe.lengths is None:
        yield "lengths", "is missing, but unit is tokens; name the lengths-KEY column that holds tokens"
    weights = list(_weights(recipe))
    if recipe.unimax is not None:
        yield from _unimax(recipe, weights)
    elif recipe.temperature is not None and all(weights):
        yield "temperature", f"is {recipe.temperature}, but no source is without weight, epochs or count; leave it out"
    if recipe.schedule:
        yield from _schedule(recipe)


def _level(level: "Recipe | Group", field: str, weighted: bool) -> Iterator[tuple[str, str]]:
    """Problems of the sources and groups at one level; `weighted` when a group above has a weight."""
    if not level.sources and not level.groups:
        yield field + "sources", "is empty; name at least one dataset"
    for number, source in enumerate(level.sources):
        yield from _source(source, f"{field}sources[{number}]", weighted)
    free = [(f"{field}sources[{n}]", source.weight) for n, source in enumerate(level.sources) if not source.fixed]
    free += [(f"{field}groups.{name}", group.weight) for name, group in level.groups.items() if not _all_fixed(group)]
    without = [name for name, weight in free if weight is None]
    if 0 < len(without) < len(free):
        mend = "give weight, epochs or count" if without[0].endswith("]") else "give weight"
        yield without[0], f"has no weight but others have; {mend}"
    for name, group in level.groups.items():
        yield from _level(group, f"{field}groups.{name}.", weighted or group.weight is not None)


def _all_fixed(group: "Group") -> bool:
    """Whether a group without weight holds epochs and counts only, so that it takes no part in weighing."""
    fixed = all(source.fixed for source in group.sources) and all(map(_all_fixed, group.groups.values()))
    return fixed and group.weight is None


def _source(source: "SourceRecipe", field: str, weighted: bool) -> Iterator[tuple[str, str]]:
    given = {k: v for k in ("weight", "epochs", "count") if (v := getattr(source, k)) is not None}
    values = ", ".join(f"{k}={v}" for k, v in given.items())
    if len(given) > 1:
        yield field, f"give {' or '.join(given)}, not both ({values})"
    if weighted and source.fixed:
        yield field, f"has {values}, but its group has a weight; give a weight here, or move it out of the group"
    for name, count in Counter(source.columns).items():
        if count > 1:
            yield f"{field}.columns", f"names {name!r} {count} times"
    ratings = source.ratings
    if ratings is not None and (ratings.power is None) == (ratings.table is None):
        yield f"{field}.ratings", f"give power or table, one of them (power={ratings.power}, table={ratings.table})"
    if ratings is not None and ratings.table is not None and not any(ratings.table.values()):
        yield f"{field}.ratings.table", "repeats nothing at all; give at least one rating a repeat"


def _weights(level: "Recipe | Group") -> Iterator[float | None]:
    yield from (source.weight for source in level.sources if not source.fixed)
    for group in level.groups.values():
        yield group.weight
        yield from _weights(group)


def _unimax(recipe: "Recipe", weights: list[float | None]) -> Iterator[tuple[str, str]]:
    others = {"a weight": any(weights), "groups": recipe.groups, "temperature": recipe.temperature is not None}
    for name, given in others.items():
        if given:
            yield "unimax", f"is {recipe.unimax}, but the recipe has {name} too; UniMax alone decides the shares"


def _schedule(recipe: "Recipe") -> Iterator[tuple[str, str]]:
    if recipe.total is None:
        yield "schedule", "needs total, so that positions have a meaning; give total"
        return
    if recipe.order == "none" or recipe.unimax is not None:
        other = "order is none" if recipe.order == "none" else f"unimax is {recipe.unimax}"
        yield "schedule", f"changes weights on the way, but {other}; leave one of them out"
    named = Counter(name for name, weight in _names(recipe) if weight is not None)
    before = -1
    for number, phase in enumerate(recipe.schedule):
        field = f"schedule[{number}]"
        if phase.at <= before or phase.at >= recipe.total:
            yield f"{field}.at", f"is {phase.at}; positions must rise and lie below total ({recipe.total})"
        before = phase.at
        for name in phase.weights:
            if named[name] != 1:
                what = "no source or group with a weight" if not named[name] else "several sources or groups"
                yield f"{field}.weights.{name}", f"names {what}; it may name {', '.join(sorted(named))}"


def _names(level: "Recipe | Group") -> Iterator[tuple[str, float | None]]:
    yield from ((source.name, source.weight) for source in level.sources)
    for name, group in level.groups.items():
        yield name, group.weight
        yield from _names(group)
