"""The parts of the page that show numbers."""

from collections.abc import Iterator

import msgspec

from sphinx_data.dataset.description import Description
from sphinx_data.report.beside import Column, Rule
from sphinx_data.report.charts import ROWS, amounts_table, bar, histogram, size_map, table
from sphinx_data.report.markup import Html, el, join, number, percent
from sphinx_data.report.shares import Share
from sphinx_data.report.summary import Summary
from sphinx_data.report.tally import Distribution

_TASKS = 24  # columns of the crossed table


def head(description: Description, summary: Summary) -> Html:
    """Name, builder, fingerprint and the sums."""
    kind = f"mix of {len(description.datasets)} datasets" if description.virtual else "dataset"
    tiles = {
        "samples": summary.total.samples,
        "images": summary.total.images,
        "characters": summary.total.chars,
        "target characters": summary.total.target_chars,
        "dropped on the way": sum(rule.count for rule in summary.rules),
    }
    shown = [el("div", el("b", number(value)), el("span", name)) for name, value in tiles.items()]
    facts = el("p", f"{kind}, built by {description.builder}; fingerprint ", el("code", description.fingerprint),
               class_="quiet")  # fmt: skip
    return el("header", el("h1", el("bdi", description.name)), facts, el("div", shown, class_="tiles"))


def contents(summary: Summary) -> Html:
    """What is in it, field by field, then licences and the crossed table."""
    if not summary.total.samples:
        return el("p", "The dataset is empty.", class_="quiet")
    names = {"domain": "Domain", "task": "Task", "source": "Source", "language": "Language", "split": "Split"}
    bars = [amounts_table(title, summary.fields[field]) for field, title in names.items()]
    return el("div", el("div", bars, class_="pair"), _licences(summary), _crossed(summary))


def flag(value: str) -> Html:
    """yes, no or unknown; what needs a look is coloured."""
    return el("span", value, class_=f"flag {value}")


def _licences(summary: Summary) -> Html:
    total = summary.total.samples
    rows = [
        [el("bdi", item.license), bar(item.samples / max(total, 1)), flag(item.commercial), flag(item.redistribute),
         percent(item.samples, total), number(item.samples)]
        for item in summary.licences[:ROWS]
    ]  # fmt: skip
    head = ["Licence", "", "commercial use", "redistribution", "share", "samples"]
    note = "What the samples' licences and those of their pictures allow together, as declared."
    return el("div", table(head, rows, words=4, note=note))


def _crossed(summary: Summary) -> Html:
    """Samples by source and task."""
    sources = list(summary.fields["source"])[:ROWS]
    tasks = list(summary.fields["task"])[:_TASKS]
    if len(sources) * len(tasks) == 1:
        return Html("")
    rows = [
        [
            el("bdi", source),
            *(number(count) if (count := summary.crossed.get((source, task), 0)) else "" for task in tasks),
        ]
        for source in sources
    ]
    return table(["Source by task", *tasks], rows, note="Samples of each source and task.")


def mix(summary: Summary) -> Html:
    """Requested against realised shares, and how often samples are seen."""
    if not summary.shares:
        return Html("")
    total = summary.total
    unit = summary.shares[0].unit.replace("_", " ")
    head = [
        "Source",
        "asked",
        f"share of {unit}",
        "came to",
        "samples",
        "images",
        "target characters",
        "epochs",
        "rows",
    ]
    rows = [
        [el("bdi", share.name), el("span", share.asked or "by its size", class_="still"),
         _optional(share.requested), _optional(share.realised),
         percent(share.amounts.samples, total.samples), percent(share.amounts.images, total.images),
         percent(share.amounts.target_chars, total.target_chars), f"{share.epochs:.2f}", _drawn_from(share)]
        for share in summary.shares
    ]  # fmt: skip
    note = (
        "Weights ask for a share of what epochs and counts leave; here it is a share of the whole mix. "
        "Samples, images and target characters are what came out."
    )
    beside = el("div", _bars_of_shares(summary), _repeats(summary), class_="pair")
    return el("div", table(head, rows, words=2, note=note), beside)


def _optional(share: float | None) -> str:
    return "" if share is None else percent(share, 1)


def _drawn_from(share: Share) -> Html:
    left_out = ", ".join(f"{number(count)} {why}" for why, count in share.dropped.items())
    return el("span", f"{share.selected:,} of {share.rows:,}", el("small", f"left out: {left_out}") if left_out else "")


def _bars_of_shares(summary: Summary) -> Html:
    rows = [
        [el("bdi", share.name), bar(_part(share, summary, "samples")), bar(_part(share, summary, "images")),
         bar(_part(share, summary, "target_chars"))]
        for share in summary.shares
    ]  # fmt: skip
    return table(["Realised share", "samples", "images", "target characters"], rows, words=4)


def _part(share: Share, summary: Summary, unit: str) -> float:
    return float(getattr(share.amounts, unit) / max(getattr(summary.total, unit), 1))


def _repeats(summary: Summary) -> Html:
    counted: dict[int, int] = {}
    for share in summary.shares:
        for times, count in share.repeats.items():
            counted[times] = counted.get(times, 0) + count
    if not counted:
        return Html("")
    total = sum(counted.values())
    shown = sorted(counted.items())
    rows = [
        ["never" if times == 0 else "once" if times == 1 else f"{times:,} times", bar(count / max(total, 1)),
         percent(count, total), number(count)]
        for times, count in shown[:ROWS]
    ]  # fmt: skip
    if rest := sum(count for _, count in shown[ROWS:]):
        rows.append(["more often", bar(rest / total), percent(rest, total), number(rest)])
    return table(["How often a sample is seen", "", "share", "rows of the sources"], rows, words=2)


def distributions(summary: Summary) -> Html:
    """Histograms with percentiles; the map of sizes."""
    if not summary.total.samples:
        return Html("")
    lengths = [column for column in summary.columns if column.kind == "lengths"]
    charts = [histogram(found) for found in summary.distributions if found.count]
    return el("div", el("div", charts, size_map(summary.sizes), class_="charts"), map(_lengths, lengths))


def _lengths(column: Column) -> Html:
    titles = {
        "tokens": "Tokens a sample",
        "views": "Views a sample",
        "supervised": "Supervised tokens a sample",
        "turns": "Turns a sample",
    }
    shown = [_renamed(found, titles.get(found.name, found.name)) for found in column.numbers]
    refused = f" {number(column.refused)} samples are refused by its template." if column.refused else ""
    note = el("p", "What the model of ", el("code", column.name), f" sees.{refused}", class_="quiet")
    return el("div", note, el("div", shown, class_="charts"))


def _renamed(found: Distribution, name: str) -> Html:
    return histogram(msgspec.structs.replace(found, name=name))


def drops(summary: Summary) -> Html:
    """Every rule that dropped something, with the first few."""
    if not summary.rules:
        return el("p", "Nothing was dropped.", class_="quiet")
    several = len({rule.dataset for rule in summary.rules}) > 1 or bool(summary.shares)
    note = "While the sources were built." if summary.shares else "While the dataset was built."
    return el("div", el("p", note, class_="quiet"), (_rule(rule, several) for rule in summary.rules))


def _rule(rule: Rule, several: bool) -> Html:
    levels = ", ".join(f"{number(count)} {level}{'s' * (count != 1)}" for level, count in rule.levels.items())
    name = [el("b", rule.rule), *([el("small", f" of {rule.dataset}")] if several else [])]
    rows = [
        [reject.input, reject.record or "", reject.id or "", reject.level, reject.detail] for reject in rule.examples
    ]
    examples = table(["Input", "record", "sample", "level", "detail"], rows, words=5)
    more = el("p", f"{rule.count - len(rows):,} more", class_="quiet") if rule.count > len(rows) else Html("")
    return el("details", el("summary", name, el("span", levels, class_="count")), examples, more)


def columns(summary: Summary) -> Html:
    """Verdicts and other columns beside the dataset; lengths are shown with the distributions."""
    return join(_columns(summary))


def _columns(summary: Summary) -> Iterator[Html]:
    for column in summary.columns:
        title = el("h3", el("code", column.name))
        if column.kind == "unusable":
            yield el("section", title, el("p", column.problem, class_="problem"))
        elif column.kind == "verdict":
            total = column.kept + sum(column.dropped.values())
            counts = {"kept": column.kept, **{f"dropped by {rule}": count for rule, count in column.dropped.items()}}
            yield el("section", title, _counts("Verdict", counts, total))
        elif column.kind == "values":
            words = [_counts(field, counts, sum(counts.values())) for field, counts in column.words.items()]
            yield el("section", title, words, el("div", map(histogram, column.numbers), class_="charts"))


def _counts(title: str, counts: dict[str, int], total: int) -> Html:
    rows = [
        [el("bdi", name), bar(count / max(total, 1)), percent(count, total), number(count)]
        for name, count in counts.items()
    ]
    return table([title, "", "share", "samples"], rows, words=2)
