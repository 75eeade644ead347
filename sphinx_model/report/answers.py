"""Held-out questions over time: what the model answered at every evaluated step, and whether it uses the picture."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from sphinx_data.dataset.reader import Dataset
from sphinx_data.report.charts import table
from sphinx_data.report.markup import Html, el, join
from sphinx_data.report.pictures import thumbnail
from sphinx_data.sample import ImagePart
from sphinx_model.report.curves import Line, chart

_BYTES = 30_000  # of a picture
_LETTERS = 400  # of a text

Found = Mapping[int, dict[str, Any]]  # step: what `evaluate.Evaluation` wrote; null is no number


def read(out: Path, last: int) -> Found:
    """The evaluations up to step `last`, in order; a run that goes on may have made later ones before."""
    places = {int(path.stem): path for path in (out / "evaluations").glob("*.json") if path.stem.isdecimal()}
    return {step: json.loads(places[step].read_bytes()) for step in sorted(places) if step <= last}


def losses(found: Found, last: int) -> Html:
    """Held-out loss against steps, with the right and with a swapped picture, and the newest one by source."""
    step = max(found)
    newest = found[step]
    paired = f"{newest['pairs']:,} pairs"
    curves = chart(
        "Held-out loss",
        [_line(found, "loss_right", "right picture", 2), _line(found, "loss_swapped", "swapped picture", 5)],
        last,
        note=f"means over {paired}",
        zero=False,
    )
    overall = chart(
        "Held-out loss, all samples",
        [_line(found, "loss", "", 0)],
        last,
        note=f"mean over the learned tokens of {newest['samples']:,}",
        zero=False,
    )
    rows = [
        [source, f"{pairs:,}", _loss(right), _loss(wrong), f"{wrong - right:+.4f}"]
        for source, (pairs, right, wrong) in newest["by_source"].items()
    ]
    said = el("p", _sentence(newest, step))
    head = ["Source", "pairs", "right picture", "swapped picture", "difference"]
    sources = table(head, rows, note=f"By source at step {step:,}:") if rows else ""
    drawn = el("div", curves, overall, class_="charts two") if len(found) > 1 else ""
    return join([said, drawn, sources])


def _line(found: Found, field: str, name: str, colour: int) -> Line:
    values = np.array([math.nan if one[field] is None else one[field] for one in found.values()], np.float64)
    return Line(name, np.array(list(found), np.int64), values, colour=colour, dots=True)


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _sentence(newest: Mapping[str, Any], step: int) -> str:
    start = f"Step {step:,}: held-out loss {_loss(newest['loss'])} over {newest['samples']:,} samples"
    unread = f" {newest['unreadable']:,} samples cannot be read." if newest["unreadable"] else ""
    if not newest["pairs"]:
        return f"{start}; no two of them could exchange their pictures.{unread}"
    return (
        f"{start}. With its own picture {_loss(newest['loss_right'])}, with that of another sample "
        f"{_loss(newest['loss_swapped'])} over {newest['pairs']:,} pairs; the own picture is better in "
        f"{newest['better']:.0%} of them (p = {newest['p_value']:.2g}).{unread}"
    )


def cards(found: Found, held: Dataset) -> Html:
    """The questions of the newest evaluation with the answers of all of them."""
    newest = found[max(found)]["answers"]
    if not newest:
        return Html("")
    legend = el(
        "p", el("span", el("i", class_="right"), "equal to the truth, but for case"),
        el("span", el("i", class_="wrong"), "anything else"), class_="legend quiet",
    )  # fmt: skip
    right = {step: sum(map(_right, one["answers"])) for step, one in found.items()}
    counts = ", ".join(f"{count} of {len(found[step]['answers'])} at step {step:,}" for step, count in right.items())
    said = el("p", f"Right: {counts}.", class_="quiet") if len(right) <= 12 else _rights(right)
    return join([legend, said, el("div", (_card(held, answer, found) for answer in newest), class_="cards")])


def _rights(right: Mapping[int, int]) -> Html:
    steps = np.array(list(right), np.int64)
    line = Line("", steps, np.array(list(right.values()), np.float64), colour=2, dots=True)
    return el("div", chart("Right answers", [line], int(steps[-1])), class_="charts two")


def _right(answer: Mapping[str, Any]) -> bool:
    return bool(answer["answer"].strip().casefold() == answer["truth"].strip().casefold())


def _card(held: Dataset, shown: Mapping[str, Any], found: Found) -> Html:
    told = [
        (step, answer)
        for step, one in found.items()
        for answer in one["answers"]
        if (answer["row"], answer["id"]) == (shown["row"], shown["id"])
    ]
    rows = []
    for text, run in groupby(told, key=lambda item: item[1]["answer"]):
        same = list(run)
        verdict = "right" if _right(same[0][1]) else "wrong"
        steps = _steps([step for step, _ in same])
        rows.append(
            el("li", el("b", steps), el("span", el("bdi", _short(text) or "(nothing)"), class_=verdict), class_=verdict)
        )
    return el(
        "article", _pictures(held, shown["row"]),
        el("div", el("p", el("bdi", _short(shown["question"])), class_="question"),
           el("p", "truth: ", el("bdi", _short(shown["truth"])), class_="truth"), el("ol", rows, class_="told"),
           el("small", shown["id"])),
        class_="card asked",
    )  # fmt: skip


def _steps(steps: Sequence[int]) -> str:
    return f"step {steps[0]:,}" if len(steps) == 1 else f"steps {steps[0]:,} to {steps[-1]:,}"


def _pictures(held: Dataset, row: int) -> Html:
    """The pictures of a question, which may have none or several."""
    content = held.sample(row).messages[0].content
    return join([_picture(held, row, part.image) for part in content if isinstance(part, ImagePart)])


def _picture(held: Dataset, row: int, image: int) -> Html:
    try:
        small = thumbnail(held[row].images[image], _BYTES)
        problem = small.problem
    except Exception as error:  # whatever a damaged sample raises; the answers are still worth showing
        return el("p", f"Its picture cannot be read: {type(error).__name__}.", class_="problem")
    if problem:
        return el("p", problem, class_="problem")
    return el("img", src=f"data:image/jpeg;base64,{small.data}", alt="the picture that was asked about")


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[:_LETTERS]} ..."
