"""A document of a pack as HTML: where it lies, its views in their grid, and its text with what is learned."""

import base64
import io
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sphinx_data.report.markup import Html, el, join
from sphinx_model.report.fed import CONTEXT, IMAGE, LEARNED, PADDING, Fed, Picture, Text

_VIEWS = 30  # drawn of one document
_SIDE = 224  # pixels of a drawn view at most
_LETTERS = 12_000  # of one text run
_KINDS = {PADDING: "padding", CONTEXT: "context", IMAGE: "image", LEARNED: "learned"}


def card(fed: Fed) -> Html:
    """One document."""
    head = el(
        "header",
        el("h3", el("bdi", fed.id)),
        el("div", el("span", fed.group, class_="tag"), el("span", f"step {fed.step:,}", class_="tag"), class_="tags"),
    )
    length = fed.end - fed.begin
    if not fed.learned:
        said = "This sample could not be read: its slot stays empty, and nothing is learned from it."
        return el("article", head, el("p", said, class_="problem"), _strip(fed), class_="card")
    first, last = fed.position_ids
    weigh = "" if fed.weight == 1 else f", each weighs {fed.weight:.3g}"
    facts = (
        f"{_count(length, 'token')}: {fed.learned:,} learned{weigh}, {_count(len(fed.views), 'view')}. "
        f"Document {fed.number + 1} of {_documents(fed)} in pack {fed.pack:,}: places {fed.begin:,} to {fed.end - 1:,} "
        f"of {len(fed.kinds):,}, position ids {first:,} to {last:,}."
    )
    body = [_picture(fed, part) if isinstance(part, Picture) else _text(part) for part in fed.parts]
    return el(
        "article", head, el("p", facts, class_="quiet"), _strip(fed), el("div", body, class_="sequence"), class_="card"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _documents(fed: Fed) -> int:
    """Documents of the pack, without the padding behind them."""
    filled = int((fed.kinds != PADDING).sum())
    return sum(begin < filled or fed.number == n for n, begin in enumerate(fed.boundaries[:-1]))


def _text(part: Text) -> Html:
    shown = part.text
    if len(shown) > _LETTERS:
        shown = f"{shown[:_LETTERS]} ... {len(part.text) - _LETTERS:,} more letters"
    classes = " ".join(["l" if part.learned else "c", *(["control"] if part.control else [])])
    return el("span", shown, class_=classes, title=_count(part.positions, "token") if not part.control else None)


def _picture(fed: Fed, part: Picture) -> Html:
    """Views where they lie on the canvas beside the global one, and beneath them the ids in their order."""
    features = iter(part.features)
    whole, cells, ids = Html(""), [], []
    for place, view in enumerate(part.places):
        if view is None:
            cells.append(el("span", "skip", class_="view skip"))
            ids.append(el("span", "skip", class_="skip", title="one skip token: this place is all padding"))
            continue
        drawn = _view(fed.views[view], view) if view < _VIEWS else el("span", f"view {view + 1}", class_="view")
        ids.append(el("span", el("i", "start"), f" view {view + 1}: {next(features)} ", el("i", "end"), class_="v"))
        if place == 0:
            whole = drawn
        else:
            cells.append(drawn)
    grid = el("div", cells, class_="grid", style=f"--n:{fed.grid}") if cells else ""
    return el(
        "figure", el("div", el("div", whole, class_="whole"), grid, class_="views"),
        el("figcaption", el("span", ids, class_="ids"), el("small", _count(part.positions, "token"))), class_="picture",
    )  # fmt: skip


def _view(pixels: NDArray[np.uint8], number: int) -> Html:
    """One view, uint8 [S, S, 3], as the model sees it."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85, optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    source = f"data:image/jpeg;base64,{data}"
    return el("span", el("img", src=source, alt=f"view {number + 1}"), el("b", f"{number + 1}"), class_="view")


def _strip(fed: Fed) -> Html:
    """The whole pack as a bar: what its positions are, where documents begin, and which of them this one is."""
    length = len(fed.kinds)
    drawn, start = [], 0
    for kind, run in groupby(fed.kinds.tolist()):
        stop = start + len(list(run))
        drawn.append(el("rect", x=start, y=0, width=stop - start, height=8, class_=_KINDS[kind]))
        start = stop
    begins = sorted({begin for begin in fed.boundaries[1:-1] if begin < length})
    drawn += [el("path", d=f"M{begin} 0V8", class_="begin") for begin in begins]
    drawn.append(el("rect", x=fed.begin, y=9, width=max(fed.end - fed.begin, 1), height=2, class_="here"))
    return el(
        "svg", join(drawn), viewBox=f"0 0 {length} 11", preserveAspectRatio="none", role="img", class_="strip",
        aria_label=f"pack {fed.pack} with this document from {fed.begin} to {fed.end}",
    )  # fmt: skip
