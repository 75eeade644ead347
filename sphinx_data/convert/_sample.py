"""A converted record as a sample: what is the same for every format."""

from collections.abc import Sequence
from typing import Any

from sphinx_data.convert._common import CommonOptions, Identified, split_of
from sphinx_data.licenses import UNKNOWN
from sphinx_data.media import Prepared
from sphinx_data.sample import (
    Built,
    Domain,
    Image,
    ImagePart,
    Message,
    Origin,
    Part,
    Region,
    Sample,
    Task,
    TextPart,
)  # fmt: skip


def user(*parts: str | Part) -> Message:
    """A user's turn; strings are text parts."""
    return Message(role="user", content=_parts(parts))


def assistant(*parts: str | Part) -> Message:
    """An assistant's turn; strings are text parts."""
    return Message(role="assistant", content=_parts(parts))


def _parts(parts: Sequence[str | Part]) -> tuple[Part, ...]:
    return tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts if part != "")


def about_image(turns: Sequence[tuple[str | Sequence[Part], str | Sequence[Part]]]) -> tuple[Message, ...]:
    """Questions and answers about image 0, which stands before the first question."""
    messages: list[Message] = []
    for number, (question, answer) in enumerate(turns):
        lead = [ImagePart(image=0)] if number == 0 else []
        messages.append(user(*lead, *([question] if isinstance(question, str) else question)))
        messages.append(assistant(*([answer] if isinstance(answer, str) else answer)))
    return tuple(messages)


def built(
    record: Identified, options: CommonOptions, pictures: Sequence[Prepared] = (), *, domain: Domain, task: Task,
    messages: Sequence[Message], language: str | None, regions: Sequence[Region] = (), license: str | None = None,
    image_licenses: Sequence[str | None] = (), meta: dict[str, Any] | None = None, validated: bool = False,
) -> Built:  # fmt: skip
    """The sample of a record, with its pictures.

    Args:
        record: gives `id`, and `input` and `record` for the origin.
        options: what the user said of the data goes before what the format knows.
        pictures: as `load_image` gave them, in the order of the sample's images.
        domain: of the sample.
        task: of the sample.
        messages: the turns.
        language: BCP 47, as the format knows it (`sphinx_data.language.language_of` for text of any language).
        regions: in pixels of the stored pictures (`_frame.Frame.region`).
        license: of the annotations, as the format or record says it.
        image_licenses: one for each picture where they have their own.
        meta: further facts; changes of pictures are added. A `split` that the record states is the sample's.
        validated: see `Built.validated`.
    """
    facts = dict(meta or {})
    changes = {str(number): picture.change for number, picture in enumerate(pictures) if picture.change}
    if changes:
        facts["image_change"] = changes["0"] if len(pictures) == 1 else changes
    images = tuple(
        Image(
            file=f"{number}.{picture.extension}",
            width=picture.width,
            height=picture.height,
            license=image_licenses[number] if number < len(image_licenses) else None,
        )
        for number, picture in enumerate(pictures)
    )
    sample = Sample(
        id=record.id,
        source=options.source,
        license=options.license or license or UNKNOWN,
        domain=domain,
        task=task,
        language=options.language or language,
        split=_split(record.input, options.split, facts.get("split")),
        images=images,
        regions=tuple(regions),
        messages=tuple(messages),
        meta=facts,
        origin=Origin(file=record.input, record=record.record),
    )
    return Built(sample, tuple([picture.data for picture in pictures]), validated)


def _split(file: str, said: str, stated: object) -> str:
    """What the record states, else what the user says, else what its folders, or a part of a table, are named after."""
    if isinstance(stated, str) and stated:
        return stated
    named = said == "train" and ("/" in file or file.endswith((".parquet", ".arrow")))
    return (split_of(file) or said) if named else said
