"""HTML from parts that escapes by construction: text is text unless it is `Html` already."""

import html
import re
from collections.abc import Iterable

_VOID = {"img", "input", "meta", "br"}
# Characters that HTML forbids, and those that turn the direction of what follows them.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
)


class Html(str):
    """Finished HTML; everything else is escaped where it is put in."""

    __slots__ = ()


Child = str | Iterable[str]


def text(value: object) -> Html:
    """A value as escaped text."""
    return Html(html.escape(_FORBIDDEN.sub("\ufffd", str(value))))


def join(children: Iterable[str], between: str = "") -> Html:
    """Several pieces one after the other."""
    return Html(between.join(child if isinstance(child, Html) else text(child) for child in children))


def el(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element. Attributes that are None or False are left out; `_` in their names is `-`, a trailing one goes."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    inner = join(child for each in children for child in ([each] if isinstance(each, str) else each))
    return Html(f"<{name}{written}>{inner}</{name}>")


def number(value: float) -> str:
    """A number for people: 12,345; 1.3; 0.025."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(part: float, whole: float) -> str:
    """A share; small ones keep a figure that is not zero."""
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if share >= 0.0995 or share == 0 else f"{share:.2%}" if share >= 0.0001 else "<0.01%"
