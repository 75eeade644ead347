"""The papers' detection answer: `There is a dog [..], two cups [..; ..] and three people [..; ..; ..] in the image.`"""

from collections.abc import Sequence
from typing import NamedTuple

from sphinx_data.phrasing import english
from sphinx_data.sample import Part, RegionPart, TextPart


class Group(NamedTuple):
    """The regions of one class in an answer."""

    name: str  # readable class name, singular
    regions: tuple[int, ...]  # positions in `Sample.regions`
    exact: bool = True  # False: more may be in the picture, so no number is said
    stuff: bool = False  # amorphous (sky, wall): neither article nor number


def detection_answer(groups: Sequence[Group]) -> tuple[Part, ...]:
    """The answer as message parts; the phrase of each region part is the class name in its number."""
    parts: list[Part] = []
    for index, group in enumerate(groups):
        words, phrase = _words(group)
        if index == 0:
            lead = "There are " if _says_plural(group, phrase) else "There is "
        else:
            lead = " and " if index == len(groups) - 1 else ", "
        parts += (TextPart(text=lead + words), RegionPart(regions=group.regions, form="box", text=phrase))
    return (*parts, TextPart(text=" in the image."))


def _words(group: Group) -> tuple[str, str]:
    count = len(group.regions)
    if group.stuff:
        return "", group.name
    if not group.exact and count > 1:
        return "", english.plural(group.name)
    return english.counted(group.name, count)


def _says_plural(group: Group, phrase: str) -> bool:
    if english.is_plural_only(phrase):
        return True
    return len(group.regions) > 1 and not group.stuff and not english.is_mass(phrase)
