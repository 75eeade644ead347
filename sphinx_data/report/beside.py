"""What lies beside a dataset's samples: what was dropped while it was built, and its columns."""

from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from sphinx_data import storage
from sphinx_data.dataset import columns, layout, tables
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import InputError, UsageError
from sphinx_data.report.tally import Distribution, of_column, value_counts
from sphinx_data.sample import Reject, Struct

EXAMPLES = 5  # of each rule
_VALUES = 20  # of a text column


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Why something was dropped, how often, and the first few."""

    dataset: str
    rule: str
    levels: dict[str, int]  # file | record | image | region | turn: how many
    examples: tuple[Reject, ...]

    @property
    def count(self) -> int:
        """How often it dropped something."""
        return sum(self.levels.values())


class Column(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A column beside a dataset: verdicts, lengths, or any other numbers and words."""

    name: str
    kind: Literal["verdict", "lengths", "values", "unusable"]
    problem: str = ""  # why an unusable one cannot be read
    kept: int = 0  # of a verdict
    dropped: dict[str, int] = {}  # of a verdict: rule: samples
    refused: int = 0  # of lengths: samples that the template refuses
    numbers: tuple[Distribution, ...] = ()
    words: dict[str, dict[str, int]] = {}  # field: value: samples


def rules(dataset: Dataset, physical: Sequence[Dataset]) -> Iterator[Rule]:
    """Every rule that dropped something, most frequent first; of a mix, those of its sources."""
    for source in {found.directory: found for found in physical or [dataset]}.values():
        found = _rules_of(source)
        yield from sorted(found, key=lambda rule: (-rule.count, rule.rule))


def _rules_of(dataset: Dataset) -> list[Rule]:
    levels: dict[str, dict[str, int]] = {}
    examples: dict[str, list[Reject]] = {}
    for part in dataset.description.parts:
        if not part.rejects:
            continue
        table = tables.read(storage.join(dataset.directory, layout.rejects(part.part)))
        for row in table.group_by(["rule", "level"]).aggregate([([], "count_all")]).to_pylist():
            counted = levels.setdefault(row["rule"] or "", {})
            counted[row["level"] or ""] = counted.get(row["level"] or "", 0) + row["count_all"]
        for rule, known in ((rule, examples.setdefault(rule, [])) for rule in sorted(levels)):
            if len(known) < EXAMPLES:
                rows = table.filter(pc.equal(table["rule"], rule)).slice(0, EXAMPLES - len(known)).to_pylist()
                known += [Reject(**{**row, "detail": row["detail"] or ""}) for row in rows]
    return [
        Rule(dataset=dataset.name, rule=rule, levels=dict(sorted(counted.items())), examples=tuple(examples[rule]))
        for rule, counted in levels.items()
    ]


def columns_beside(dataset: Dataset, lengths: str | None = None) -> Iterator[Column]:
    """The columns beside a dataset; `lengths` names the only column of lengths that is wanted."""
    names = columns.names(dataset)
    if lengths is not None:
        wanted = lengths if lengths.startswith("lengths-") else f"lengths-{lengths}"
        if wanted not in names:
            there = ", ".join(name for name in names if name.startswith("lengths-")) or "none"
            raise UsageError(f"report: --lengths {lengths}: {dataset.directory} has no such column; it has {there}")
        names = [name for name in names if name == wanted or not name.startswith("lengths-")]
    for name in names:
        try:
            yield _column(name, columns.read(dataset, name))
        except InputError as error:
            where, _, problem = str(error).partition(": ")  # a page names no absolute place
            yield Column(
                name=name, kind="unusable", problem=(problem or where).replace(dataset.directory, dataset.name)
            )


def _column(name: str, table: pa.Table) -> Column:
    if {"keep", "rule"} <= set(table.column_names) and pa.types.is_boolean(table.schema.field("keep").type):
        keep = pc.fill_null(table["keep"], True)
        dropped = value_counts(table["rule"].filter(pc.invert(keep)))
        return Column(name=name, kind="verdict", kept=pc.sum(keep).as_py() or 0, dropped=dropped)
    numbers, words = [], {}
    for field in table.schema:
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            numbers.append(of_column(field.name, table[field.name]))
        elif pa.types.is_boolean(field.type) or pa.types.is_string(field.type):
            words[field.name] = dict(list(value_counts(table[field.name]).items())[:_VALUES])
    if name.startswith("lengths-") and {"tokens", "views"} <= set(table.column_names):
        refused = pc.sum(pc.equal(table["tokens"], 0)).as_py() or 0
        return Column(name=name, kind="lengths", refused=refused, numbers=tuple(numbers))
    return Column(name=name, kind="values", numbers=tuple(numbers), words=words)
