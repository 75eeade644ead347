"""The data card: ``README.md`` in the form of the Hugging Face hub."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from sphinx_data.dataset.description import Description
from sphinx_data.report.markup import number, percent
from sphinx_data.report.summary import Summary

MARK = "<!-- made by sphinx-data report; a card without this line is never replaced -->"
_ROWS = 30  # of a table
# Licence ids that the hub knows, of those that `sphinx_data.licenses` knows; all others are "other" there.
_HUB_LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc0-1.0", "pddl", "odc-by", "odbl",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0",
    "mpl-2.0", "ofl-1.1", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "unknown",
}  # fmt: skip
_RENAMED = re.compile(r"^(pddl|odc-by|odbl)-1\.0$|-(only|or-later)$")
# Our tasks as the hub's categories.
_CATEGORIES = {
    "text-generation": ("text", "dialogue", "instruction", "math", "code", "tool-use", "continuation"),
    "image-classification": ("classification",),
    "object-detection": ("detection", "counting", "layout", "text-localisation"),
    "image-segmentation": ("segmentation",),
    "keypoint-detection": ("pose",),
    "visual-question-answering": (
        "vqa", "document-vqa", "chart-vqa", "table-vqa", "scene-text-vqa", "diagram-vqa", "science-vqa", "math-vqa",
        "visual-reasoning", "visual-entailment", "fact-verification", "som-vqa", "som-counting",
    ),
    "image-to-text": (
        "caption", "grounded-caption", "reg", "page-reading", "region-reading", "spotting", "reading-order",
        "table-recognition", "formula-recognition", "key-information", "som-naming", "som-description", "som-reading",
    ),
    "image-text-to-text": (
        "rec", "phrase-grounding", "visual-instruction", "gui-grounding", "multi-image", "som-relations",
        "som-reference", "interleaved", "multi-task",
    ),
}  # fmt: skip


def data_card(description: Description, summary: Summary) -> bytes:
    """The whole card; equal arguments give equal bytes."""
    front = yaml.safe_dump(_front_matter(description, summary), sort_keys=False, allow_unicode=True, width=1000)
    lines = ["---", front.rstrip(), "---", "", MARK, "", *_body(description, summary)]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _front_matter(description: Description, summary: Summary) -> dict[str, Any]:
    licences = sorted({_hub_licence(item) for item in summary.fields["license"]})
    languages = sorted({item.partition("-")[0].lower() for item in summary.fields["language"]} - {"unknown"})
    found: dict[str, Any] = {
        "pretty_name": description.name,
        "license": licences[0] if len(licences) == 1 else licences or "unknown",
        "language": [item for item in languages if re.fullmatch("[a-z]{2,3}", item)],
        "task_categories": [hub for hub, tasks in _CATEGORIES.items() if set(tasks) & set(summary.fields["task"])],
        "size_categories": [_size_category(summary.total.samples)],
        "tags": ["sphinx-dataset", "multimodal", *sorted(summary.fields["domain"])],
    }
    return {key: value for key, value in found.items() if value}


def _hub_licence(license_id: str) -> str:
    name = _RENAMED.sub(lambda match: match[1] or "", license_id.lower())
    return name if name in _HUB_LICENSES else "other"


def _size_category(samples: int) -> str:
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    for place, name in enumerate(names):
        if samples < 1000 * 10**place:
            return f"n<{name}" if place == 0 else f"{names[place - 1]}<n<{name}"
    return "n>1T"


def escape(value: object) -> str:
    """Text that stays text in a table of Markdown."""
    plain = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>()#!|~&$^:@])", r"\\\1", plain)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], words: int = 1) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "|".join(" --- " if place < words else " ---: " for place in range(len(head))) + "|"
    for row in rows[:_ROWS]:
        cells = (escape(cell) if place < words else str(cell) for place, cell in enumerate(row))
        yield f"| {' | '.join(cells)} |"
    if len(rows) > _ROWS:
        yield f"\n{len(rows) - _ROWS:,} more are in `report.html`."
    yield ""


def _body(description: Description, summary: Summary) -> Iterator[str]:
    total = summary.total
    yield f"# {escape(description.name)}\n"
    yield (
        f"{number(total.samples)} samples, {number(total.images)} images, {number(total.chars)} characters, "
        f"{number(total.target_chars)} of them in supervised answers. `report.html` shows distributions and samples.\n"
    )
    yield f"Fingerprint of the ordered content: `{description.fingerprint}`\n"
    yield "## What is in it\n"
    for field, title in (("domain", "Domain"), ("task", "Task"), ("language", "Language"), ("split", "Split")):
        rows = [(value, number(a.samples), percent(a.samples, total.samples), number(a.images), number(a.target_chars))
                for value, a in summary.fields[field].items()]  # fmt: skip
        yield from _table([title, "samples", "share", "images", "target characters"], rows)
    yield from _sources(summary)
    yield from _licences(summary)
    yield from _built(description)
    yield from _rejects(summary)


def _sources(summary: Summary) -> Iterator[str]:
    yield "## Sources\n"
    if summary.shares:
        mixed = [
            (share.name, share.asked or "by its size", number(share.amounts.samples),
             percent(share.amounts.samples, summary.total.samples), percent(share.amounts.images, summary.total.images),
             percent(share.amounts.target_chars, summary.total.target_chars),
             f"{share.epochs:.2f}")
            for share in summary.shares
        ]  # fmt: skip
        head = ["Dataset", "asked", "samples", "of samples", "of images", "of target characters", "epochs"]
        yield from _table(head, mixed, words=2)
    rows = [(value, number(amounts.samples), percent(amounts.samples, summary.total.samples))
            for value, amounts in summary.fields["source"].items()]  # fmt: skip
    yield from _table(["Source", "samples", "share"], rows)


def _licences(summary: Summary) -> Iterator[str]:
    yield "## Licences\n"
    rows = [(x.license, x.commercial, x.redistribute, number(x.samples)) for x in summary.licences]
    yield from _table(["Licence", "commercial use", "redistribution", "samples"], rows, words=3)
    for field, words in (("commercial", "commercial use"), ("redistribute", "redistribution")):
        counts = {
            value: sum(x.samples for x in summary.licences if getattr(x, field) == value) for value in ("no", "unknown")
        }
        said = " and ".join(
            f"{'forbidden' if value == 'no' else 'not known to be allowed'} for {number(count)} samples"
            for value, count in counts.items() if count
        )  # fmt: skip
        yield f"- The whole: {words} is {said or 'allowed'}."
    yield "\nAs the sources declare it, pictures included; not legal advice.\n"


def _built(description: Description) -> Iterator[str]:
    yield "## How it was built\n"
    yield f"By `sphinx-data` with the builder {escape(description.builder)} and these parameters:\n"
    yield f"```json\n{json.dumps(description.parameters, indent=1, ensure_ascii=False, sort_keys=True)}\n```\n"
    if description.datasets:
        rows = [(source.name, source.fingerprint, number(source.rows)) for source in description.datasets]
        yield from _table(["Dataset", "fingerprint", "rows"], rows, words=2)


def _rejects(summary: Summary) -> Iterator[str]:
    yield "## What was dropped\n"
    if not summary.rules:
        yield "Nothing."
        return
    rows = [(rule.rule, rule.dataset, ", ".join(rule.levels), number(rule.count)) for rule in summary.rules]
    yield from _table(["Rule", "dataset", "level", "dropped"], rows, words=3)
