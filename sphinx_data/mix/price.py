"""What a mix holds and costs: the numbers of a lock's sources, and the table a person reads before training."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from sphinx_data.mix.find import Source
from sphinx_data.mix.lock import Lock, LockedSource
from sphinx_data.mix.scan import KINDS, Facts
from sphinx_data.mix.select import Selection
from sphinx_data.mix.shares import Totals

_LICENSE, _COMMERCIAL, _REDISTRIBUTE = (KINDS.index(name) for name in ("license", "commercial", "redistribute"))
_ASKED = {"commercial": "used commercially", "redistribute": "redistributed"}


def locked_sources(
    sources: Sequence[Source], facts: Sequence[Facts], selected: Sequence[Selection], totals: Totals,
    uses: Sequence[NDArray[np.uint32]], chunks: NDArray[np.int64] | None,
) -> tuple[LockedSource, ...]:  # fmt: skip
    """The lock's account of every source; `uses` says how often each row of each source is seen."""
    samples = totals.samples.sum(axis=0).tolist()
    amounts = [
        {unit: int(values.astype(np.int64) @ times) for unit, values in one.numbers.items()}
        for one, times in zip(facts, uses, strict=True)
    ]
    parts = [{"samples": count, **amount} for count, amount in zip(samples, amounts, strict=True)]
    whole = {unit: max(sum(part[unit] for part in parts), 1) for unit in parts[0]}
    return tuple(
        LockedSource(
            field=source.leaf.field,
            name=source.dataset.name,
            fingerprint=source.dataset.fingerprint,
            rows=len(source.dataset),
            dropped=chosen.dropped,
            selected=chosen.distinct,
            selection=xxhash.xxh3_128_hexdigest(chosen.rows.astype("<u4").tobytes()),
            repeats=chosen.repeats,
            chunk=None if chunks is None else int(chunks[n]),
            samples=samples[n],
            epochs=round(samples[n] / len(chosen.rows), 6),
            most_seen=int(uses[n].max(initial=0)),
            amounts=amounts[n],
            requested=None if np.isnan(totals.requested[n]) else round(float(totals.requested[n]), 6),
            realised={unit: round(value / whole[unit], 6) for unit, value in parts[n].items()},
            **_rights(facts[n], uses[n]),
        )
        for n, (source, chosen) in enumerate(zip(sources, selected, strict=True))
    )


def _rights(facts: Facts, uses: NDArray[np.uint32]) -> dict[str, Any]:
    counts = np.bincount(facts.kind, weights=uses, minlength=len(facts.kinds)).astype(np.int64).tolist()
    licenses: dict[str, int] = {}
    allowed: dict[str, set[Any]] = {"commercial": set(), "redistribute": set()}
    for kind, count in zip(facts.kinds, counts, strict=True):
        if count:
            name = str(kind[_LICENSE] or "unknown")
            licenses[name] = licenses.get(name, 0) + count
            allowed["commercial"].add(kind[_COMMERCIAL])
            allowed["redistribute"].add(kind[_REDISTRIBUTE])
    rights = {name: False if False in said else None if None in said else True for name, said in allowed.items()}
    return {"licenses": dict(sorted(licenses.items())), **rights}


def summary(lock: Lock, place: str) -> dict[str, Any]:
    """Sums over the mix; `place` is where shards would be written."""
    folder = Path(place).absolute()
    while not folder.exists():
        folder = folder.parent
    units = list(lock.sources[0].amounts)
    return {
        "samples": lock.samples,
        **{unit: lock.amount(unit) for unit in units if unit != "bytes"},
        "bytes_to_read": lock.amount("bytes"),
        "bytes_to_write_if_materialised": lock.amount("bytes"),
        "disk_free": shutil.disk_usage(folder).free,
        "holdout_samples": lock.holdout_samples,
        **{name: _verdict(lock, name) for name in _ASKED},
    }


def _verdict(lock: Lock, right: str) -> dict[str, Any]:
    """Whether the whole may be used in a way, and the sources because of which it may not or nobody knows."""
    answers = {source.name: getattr(source, right) for source in lock.sources}
    for answer, word in ((False, "no"), (None, "unknown")):
        because = sorted(name for name, value in answers.items() if value is answer)
        if because:
            return {"answer": word, "because_of": because}
    return {"answer": "yes", "because_of": []}


def text(lock: Lock, place: str) -> str:
    """The table of a mix: what every source gives, how often it is seen, and what share it has."""
    units = [unit for unit in ("images", "target_chars", "tokens") if unit in lock.sources[0].amounts]
    names = {"target_chars": "text"}
    width = max(6, *(len(source.name) for source in lock.sources))
    lines = [
        f"{'source':<{width}}{'rows':>12}{'selected':>12}{'samples':>12}{'epochs':>8}{'most':>6}{'asked':>8}"
        + "".join(f"{names.get(unit, unit):>9}" for unit in ["samples", *units])
        + f"{'read':>11}  licences"
    ]
    for one in lock.sources:
        asked = "" if one.requested is None else f"{one.requested:.1%}"
        lines.append(
            f"{one.name:<{width}}{one.rows:>12,}{one.selected:>12,}{one.samples:>12,}{one.epochs:>8.2f}"
            f"{one.most_seen:>6}{asked:>8}" + "".join(f"{one.realised[unit]:>9.1%}" for unit in ["samples", *units])
            + f"{_bytes(one.amounts['bytes']):>11}  {', '.join(one.licenses)}"
        )  # fmt: skip
        lines += [f"{'':<{width}}  - {count:,} {rule}" for rule, count in sorted(one.dropped.items())]
        if one.repeats:
            lines.append(f"{'':<{width}}  * ratings: " + ", ".join(f"{n:,} x{k}" for k, n in one.repeats.items()))
    lines.append(
        f"{'all':<{width}}{sum(s.rows for s in lock.sources):>12,}{sum(s.selected for s in lock.sources):>12,}"
        f"{lock.samples:>12,}"
    )
    return "\n".join([*lines, *_totals(lock, place)])


def _totals(lock: Lock, place: str) -> list[str]:
    found = summary(lock, place)
    tokens = f", {found['tokens']:,} tokens" if "tokens" in found else ""
    lines = [
        f"{lock.samples:,} samples, {found['images']:,} images, {found['chars']:,} characters "
        f"({found['target_chars']:,} to learn){tokens}; {lock.holdout_samples:,} held out",
        f"{_bytes(found['bytes_to_read'])} to read, as much to write if materialised; "
        f"{_bytes(found['disk_free'])} free at {place}",
    ]
    for right, words in _ASKED.items():
        why = found[right]["because_of"]
        reason = f": because of {', '.join(why[:8])}{f' and {len(why) - 8} more' if len(why) > 8 else ''}"
        lines.append(f"may the whole be {words}? {found[right]['answer']}{reason if why else ''}")
    if lock.missing:
        lines.append(f"NOT IN THE MIX, {len(lock.missing)} sources are not there: {', '.join(lock.missing)}")
    return [*lines, f"fingerprint {lock.fingerprint}"]


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
