"""Small samples for tests of what does not depend on real content."""

from io import BytesIO

from PIL import Image as Pictures

from sphinx_data.sample import Image, ImagePart, Message, Origin, Region, RegionPart, Sample, TextPart


def png(colour: tuple[int, int, int], width: int = 12, height: int = 8) -> bytes:
    """A real PNG of one colour."""
    file = BytesIO()
    Pictures.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def picture_sample(name: str, number: int, *, question: str = "What colour is it?", answer: str = "red") -> Sample:
    """One picture of 12 x 8 pixels, one region, one question."""
    return Sample(
        id=f"{name}/{number}",
        source=name,
        license="MIT",
        domain="vision-language",
        task="vqa",
        language="en",
        split="train",
        images=(Image(file="0.png", width=12, height=8),),
        regions=(Region(box=(1, 2, 5.5, 6), label="thing"),),
        messages=(
            Message(role="user", content=(ImagePart(image=0), TextPart(text=question))),
            Message(
                role="assistant",
                content=(TextPart(text=f"{answer} "), RegionPart(regions=(0,), form="box", text="thing")),
            ),
        ),
        meta={"number": number},
        origin=Origin(file="made.json", record=str(number)),
    )


def text_sample(name: str, number: int, text: str = "A page of text.") -> Sample:
    """A document: no user turn, no image."""
    return Sample(
        id=f"{name}/{number}",
        source=name,
        license="CC0-1.0",
        domain="language",
        task="text",
        language="en",
        split="train",
        messages=(Message(role="assistant", content=(TextPart(text=f"{text} {number}"),)),),
        origin=Origin(file="made.txt", record=str(number)),
    )
