"""The page of a run: how the loss fell, whether the model uses its eyes, and held-out questions with their pictures."""

import base64
import html
from pathlib import Path

from sphinx_data import storage
from sphinx_data.dataset.reader import Dataset
from sphinx_model.evaluate import Answer, Evaluation
from sphinx_model.metrics import read_lines

_POINTS = 1000  # of the curve
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse}
td,th{padding:.3rem .8rem;border-bottom:1px solid #dbe2e8;text-align:right}
td:first-child,th:first-child{text-align:left}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1rem}
.card{border:1px solid #dbe2e8;border-radius:.5rem;padding:.8rem}
.card img{width:100%;height:11rem;object-fit:contain;background:#f4f6f8}
.right{color:#0a6b3d}.wrong{color:#a32626}small{color:#5b6b7a;overflow-wrap:anywhere}
svg{width:100%;height:14rem}
"""


def write(out: Path, found: Evaluation | None, held: Dataset | None) -> Path:
    """Write ``OUT/report.html``, one file that needs nothing from elsewhere; returns its path.

    Without a held-out set, `found` and `held` are None and the page shows the training alone.
    """
    losses = [(line["step"], line["loss"]) for line in read_lines(out / "log.jsonl")]
    seen = _seen(found, held) if found is not None and held is not None else ""
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>sphinx-train: {html.escape(out.name)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>
<h1>{html.escape(out.name)}</h1>
<h2>Training loss</h2>{_curve(losses)}{seen}</html>
"""
    place = out / "report.html"
    storage.write_atomic(place, page.encode())
    return place


def _seen(found: Evaluation, held: Dataset) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(source)}</td><td>{pairs}</td><td>{right:.4f}</td><td>{wrong:.4f}</td></tr>"
        for source, (pairs, right, wrong) in found.by_source.items()
    )
    cards = "".join(_card(held, answer) for answer in found.answers)
    return f"""
<h2>Does it use the picture?</h2><p>{html.escape(found.sentence())}</p>
<table><tr><th>source</th><th>pairs</th><th>right image</th><th>swapped image</th></tr>{rows}</table>
<h2>Held-out questions</h2><div class="cards">{cards}</div>"""


def _card(held: Dataset, answer: Answer) -> str:
    example = held[answer.row]
    kind = example.sample.images[0].file.partition(".")[2].replace("jpg", "jpeg")
    picture = base64.b64encode(example.images[0]).decode()
    verdict = "right" if answer.answer.strip().lower() == answer.truth.strip().lower() else "wrong"
    return (
        f'<div class="card"><img alt="" src="data:image/{html.escape(kind)};base64,{picture}">'
        f"<p><b>{html.escape(_short(answer.question))}</b></p>"
        f'<p class="{verdict}">{html.escape(_short(answer.answer))}</p>'
        f"<p>truth: {html.escape(_short(answer.truth))}</p>"
        f"<small>{html.escape(answer.id)}</small></div>"
    )


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}..."


def _curve(losses: list[tuple[int, float]]) -> str:
    """Loss against step as an SVG line."""
    if len(losses) < 2:
        return ""
    losses = losses[:: -(-len(losses) // _POINTS)]
    highest, last = max(1e-9, *(loss for _, loss in losses)), losses[-1][0]
    points = " ".join(f"{40 + 750 * step / last:.1f},{10 + 170 * (1 - loss / highest):.1f}" for step, loss in losses)
    return (
        '<svg viewBox="0 0 800 210"><path d="M40 10V180H790" fill="none" stroke="#8a99a8"/>'
        f'<polyline points="{points}" fill="none" stroke="#2267b5" stroke-width="1.5"/>'
        f'<text x="2" y="18" font-size="12">{highest:.1f}</text><text x="20" y="184" font-size="12">0</text>'
        f'<text x="760" y="200" font-size="12">{last}</text></svg>'
    )
