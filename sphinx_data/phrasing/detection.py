"""The papers' answers that list objects.

Detection: `There is a dog [..], two cups [..; ..] and three people [..; ..; ..] in the image.`
Layout: `There are seven text [..; ..], figure [..], and title [..] in the image.`
Pose: `The detected key points are horse keypoints [..], and human keypoints [..].`
"""

from collections.abc import Sequence
from typing import NamedTuple

from sphinx_data.phrasing import english
from sphinx_data.sample import Part, RegionPart, TextPart


class Group(NamedTuple):
    """The regions of one class in an answer."""

    name: str  # readable class name, singular
    regions: tuple[int, ...]  # positions in `Sample.regions`
    exact: bool = True  # False: more may be in the picture, so no number is said
    stuff: bool = False  # amorphous (sky, trees, a wall): no number


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
        return english.uncounted(group.name, count)
    if not group.exact and count > 1:
        return "", english.plural(group.name)
    return english.counted(group.name, count)


def _says_plural(group: Group, phrase: str) -> bool:
    if english.is_plural_only(phrase) or (group.stuff and phrase != group.name):
        return True
    return len(group.regions) > 1 and not group.stuff and not english.is_mass(phrase)


def layout_answer(groups: Sequence[Group]) -> tuple[Part, ...]:
    """SPHINX-X, Fig. 7: names of classes as they are, a number where there are several, the most frequent first."""
    ordered = sorted(groups, key=lambda group: -len(group.regions))
    single = len(ordered[0].regions) == 1  # so is every other
    parts: list[Part] = []
    for index, group in enumerate(ordered):
        lead = _between(index, len(ordered)) if index else ("There is " if single else "There are ")
        count = len(group.regions)
        words = f"{english.number(count)} " if count > 1 and group.exact else ""
        if single:
            words = english.with_article(group.name).removesuffix(group.name)
        parts += (TextPart(text=lead + words), RegionPart(regions=group.regions, form="box", text=group.name))
    return (*parts, TextPart(text=" in the image."))


def pose_answer(groups: Sequence[Group]) -> tuple[Part, ...]:
    """SPHINX-X, Fig. 2; a person's key points are "human keypoints" there."""
    parts: list[Part] = []
    for index, group in enumerate(groups):
        lead = _between(index, len(groups)) if index else "The detected key points are "
        phrase = f"{'human' if group.name == 'person' else group.name} keypoints"
        parts += (TextPart(text=lead), RegionPart(regions=group.regions, form="keypoints", text=phrase))
    return (*parts, TextPart(text="."))


def none_answer(names: Sequence[str]) -> tuple[Part, ...]:
    """That nothing of these classes is in the picture."""
    several = [english.plural(name) for name in names]
    listed = f"{', '.join(several[:-1])} or {several[-1]}" if len(several) > 1 else several[0]
    verb = "is" if english.is_mass(names[0]) and not english.is_plural_only(names[0]) else "are"
    return (TextPart(text=f"There {verb} no {listed} in the image."),)


def _between(index: int, count: int) -> str:
    if index < count - 1:
        return ", "
    return ", and " if count > 2 else " and "
