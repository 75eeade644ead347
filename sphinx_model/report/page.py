"""What the page says, section by section. Its policy allows its own script by hash and nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import msgspec
import numpy as np
import yaml

from sphinx_data.dataset.reader import Dataset
from sphinx_data.report.charts import table
from sphinx_data.report.markup import Html, el, join, number, percent, text
from sphinx_model.packing import Plan
from sphinx_model.recipe import TrainRecipe
from sphinx_model.report import answers
from sphinx_model.report.curves import Line, chart, reach
from sphinx_model.report.log import Floats, Log, weighted

_SOURCES = 24  # with a chart of their own
_BAD = 50  # unreadable samples that are listed
_ENOUGH = 40  # steps from which on the second half is drawn by itself

_SPEEDS = (  # what is drawn, its name in the log, and its factor
    ("Learned tokens a second", "supervised_tokens_per_s", 1),
    ("Tokens a second", "tokens_per_s", 1),
    ("Views a second", "views_per_s", 1),
    ("MFU of the language model, %", "mfu_llm", 100),
    ("MFU of the encoders, %", "mfu_encoders", 100),
    ("Language model, TFLOP/s", "llm_tflops", 1),
    ("Encoders, TFLOP/s", "encoder_tflops", 1),
    ("Waiting for data, %", "data_wait", 100),
    ("Seconds of a step", "seconds", 1),
    ("Most memory of the first rank, GiB", "memory_gib", 1),
)


class Facts(NamedTuple):
    """What a run is, and how far it came."""

    name: str
    recipe: TrainRecipe
    data: Dataset
    plan: Plan
    step: int
    steps: int
    packs_in_all: int
    bad: Sequence[Mapping[str, Any]]


def render(facts: Facts, log: Log, found: answers.Found, held: Dataset | None, fed: Sequence[Html]) -> bytes:
    """The whole page; equal arguments give equal bytes."""
    asked = held is not None and found
    parts = {
        "loss": ("Loss", _loss(facts, log)),
        "sources": ("Sources", _sources(facts, log)),
        "held": ("Does it use the picture?", answers.losses(found, facts.step) if asked else Html("")),
        "answers": ("Held-out questions", answers.cards(found, held) if asked and held is not None else Html("")),
        "fed": ("As it was fed", _fed(fed)),
        "speed": ("Speed", _speed(facts, log)),
        "bad": ("Unreadable samples", _bad(facts.bad)),
        "recipe": ("Recipe", _recipe(facts)),
    }
    shown = {key: part for key, part in parts.items() if part[1]}
    links = el("nav", el("div", (el("a", name, href=f"#{key}") for key, (name, _) in shown.items()), class_="top"))
    bodies = (el("section", el("h2", name), body, id=key) for key, (name, body) in shown.items())
    foot = el("footer", "Made by sphinx-train from the files of the run, and renewed at evaluations and checkpoints.")
    script = _asset("page.js")
    return (
        Template(_asset("page.html"))
        .substitute(
            title=text(f"{facts.name} · {_state(facts)}"), style=_asset("page.css"), script=script,
            hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            body=el("div", _head(facts, log, found), class_="top") + links + el("main", bodies, foot),
        )
        .encode()
    )  # fmt: skip


def _asset(name: str) -> str:
    return files("sphinx_model.report").joinpath(name).read_text(encoding="utf-8")


def _state(facts: Facts) -> str:
    if facts.step >= facts.steps:
        return f"finished: {facts.steps:,} steps"
    return f"under way: step {facts.step:,} of {facts.steps:,}"


def _head(facts: Facts, log: Log, found: answers.Found) -> Html:
    recipe, plan = facts.recipe, facts.plan
    done = facts.step / max(facts.steps, 1)
    bar = el("div", el("i", style=f"width:{done:.2%}"), class_="progress" + ("" if done < 1 else " done"))
    dropped = ", ".join(f"{count:,} {rule}" for rule, count in sorted(plan.dropped.items()))
    epochs = facts.packs_in_all / max(len(plan), 1)
    lines = [
        f"{Path(recipe.model).name} on {facts.data.name}: {len(facts.data):,} samples in {len(plan):,} packs of "
        f"{recipe.pack.tokens:,} tokens, {plan.fill:.1%} full; {recipe.pack.batch:,} packs a step, "
        f"{epochs:.2f} epochs.",
        f"Left out of packs: {dropped}." if dropped else "",
        f"Samples cut at turns: {plan.split:,}." if plan.split else "",
    ]
    tiles: list[tuple[str, str]] = []
    if len(log):
        last = "loss of the last step" if _last(log) == 1 else f"loss, mean of the last {_last(log):,} steps"
        tiles += [(f"{log.mean('loss', 0.05):.4f}", last)]
    if found:
        newest = found[max(found)]
        tiles += [("-" if newest["loss"] is None else f"{newest['loss']:.4f}", f"held-out loss at step {max(found):,}")]
    if len(log):
        learned = log.columns["supervised_tokens"]
        tiles += [
            (number(learned.sum()), "tokens learned"),
            (number(round(_median(log, "supervised_tokens_per_s"))), "learned tokens a second, median"),
            (_duration(float(log.columns["seconds"].sum())), "of training steps"),
        ]
    if len(log.skipped):
        tiles += [(f"{len(log.skipped):,}", "steps skipped: the gradient was no number")]
    if facts.bad:
        tiles += [(f"{len(facts.bad):,}", "samples that could not be read")]
    listed = el("div", (el("div", el("b", value), el("span", what)) for value, what in tiles), class_="tiles")
    said = el("p", _state(facts), class_="state")
    return join([el("h1", facts.name), said, bar, *(el("p", line, class_="quiet") for line in lines if line), listed])


def _last(log: Log) -> int:
    return max(1, round(len(log) * 0.05))


def _median(log: Log, name: str) -> float:
    values = log.columns[name]
    return float(np.median(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _loss(facts: Facts, log: Log) -> Html:
    if not len(log):
        return el("p", "No step has been logged yet.", class_="quiet")
    last, tokens, skipped = int(log.steps[-1]), log.columns["supervised_tokens"], log.skipped.tolist()
    loss = Line("", log.steps, log.columns["loss"], tokens)
    note = f"bold: mean of {2 * reach(len(log)) + 1:,} steps"
    drawn = [chart("Loss", [loss], last, note=f"light: each step, {note}", skipped=skipped)]
    if len(log) >= _ENOUGH:
        drawn += [chart("Loss, the second half", [loss], last, first=last // 2, zero=False, skipped=skipped)]
    small = [
        chart("Norm of the gradient", [_line(log, "grad_norm", 5)], last, note=note, skipped=skipped),
        chart("Learning rate", [Line("", log.steps, log.columns["lr"], colour=4)], last),
        chart("Learned tokens of a step", [_line(log, "supervised_tokens", 2)], last, note=note),
    ]
    marked = _skipped(skipped)
    return join([el("div", drawn, class_="charts two"), el("div", small, class_="charts"), marked])


def _line(log: Log, name: str, colour: int) -> Line:
    return Line("", log.steps, log.columns[name], np.ones(len(log)), colour)


def _skipped(skipped: Sequence[int]) -> Html:
    if not skipped:
        return Html("")
    shown = ", ".join(f"{step:,}" for step in skipped[:100])
    more = f" and {len(skipped) - 100:,} more" if len(skipped) > 100 else ""
    return el("p", f"Skipped, for their gradient was no number: steps {shown}{more}.", class_="problem")


def _sources(facts: Facts, log: Log) -> Html:
    if not log.sources:
        return Html("")
    total = sum(float(source.tokens.sum()) for source in log.sources.values())
    drawn = [
        chart(name, [Line("", source.steps, source.losses, source.tokens, place % 8)], int(log.steps[-1]))
        for place, (name, source) in enumerate(list(log.sources.items())[:_SOURCES])
    ]
    rows = []
    for name, source in log.sources.items():
        begin, end = (_part(source.losses, source.tokens, which) for which in (0, -1))
        learned = float(source.tokens.sum())
        rows.append([el("bdi", name), percent(learned, total), number(learned), number(len(source.steps)), begin, end])
    head = ["Source", "share", "tokens learned", "in steps", "loss, first tenth", "loss, last tenth"]
    more = len(log.sources) - _SOURCES
    said = f"The {_SOURCES} sources with most tokens are drawn, {more} others are in the table." if more > 0 else ""
    note = el("p", said, class_="quiet") if said else ""
    tenth = "Means over the first and the last tenth of the steps that a source was in."
    return join([el("div", drawn, class_="charts"), note, table(head, rows, note=tenth)])


def _part(losses: Floats, tokens: Floats, which: int) -> str:
    tenth = max(1, len(losses) // 10)
    part = slice(tenth) if which == 0 else slice(-tenth, None)
    return f"{weighted(losses[part], tokens[part]):.4f}"


def _fed(cards: Sequence[Html]) -> Html:
    kinds = [("l", "learned: counts in the loss"), ("c", "only read"), ("control", "control token"),
             ("skip", "place of the grid that is all padding, one skip token")]  # fmt: skip
    legend = el("p", (el("span", el("i", class_=kind), said) for kind, said in kinds), class_="legend quiet")
    strip = [("learned", "learned"), ("context", "text only read"), ("image", "picture"), ("padding", "padding")]
    bar = "The bar is the whole pack; the line beneath it is this document: "
    bars = el("p", bar, (el("span", el("i", class_=kind), said) for kind, said in strip), class_="legend quiet")
    note = (
        "The first document of every source, and more where there are few, taken apart from the very tensors that the "
        "model gets: ids, targets, position ids, boundaries, views. Numbers on views are their order."
    )
    return join([el("p", note, class_="quiet"), legend, bars, el("div", cards, class_="cards fed")])


def _speed(facts: Facts, log: Log) -> Html:
    if not len(log):
        return Html("")
    drawn = []
    for title, name, factor in _SPEEDS:
        if name in log.columns:
            line = Line("", log.steps, log.columns[name] * factor, np.ones(len(log)))
            note = f"median {number(round(_median(log, name) * factor, 4))}"
            drawn.append(chart(title, [line], int(log.steps[-1]), note=note))
    return el("div", drawn, class_="charts")


def _bad(bad: Sequence[Mapping[str, Any]]) -> Html:
    if not bad:
        return Html("")
    rows = [[number(line["row"]), el("bdi", line["id"] or "unknown"), line["error"]] for line in bad[:_BAD]]
    more = f" The first {_BAD:,} are listed." if len(bad) > _BAD else ""
    note = f"Samples that could not be read, whose slots stay empty: {len(bad):,}.{more}"
    return table(["Row", "sample", "why"], rows, words=3, note=note)


def _recipe(facts: Facts) -> Html:
    """The whole recipe with its defaults, but for where things lie on this machine."""
    plain = msgspec.to_builtins(_whole(facts.recipe), builtin_types=())
    for place in ("out", "roots"):
        plain.pop(place)
    for place in ("model", "data", "holdout"):
        plain[place] = plain[place] and Path(plain[place]).name
    return el("pre", yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None))


def _whole(value: Any) -> Any:
    """A struct with its defaults as plain values."""
    if isinstance(value, msgspec.Struct):
        return {name: _whole(getattr(value, name)) for name in value.__struct_fields__}
    return value
