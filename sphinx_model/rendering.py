"""A stored sample as what a model reads: regions become text by a dialect, pictures become views, in one layout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from sphinx_data.dataset.reader import Example
from sphinx_data.dialects import Dialect, Geometry
from sphinx_data.sample import ImagePart, Sample, TextPart
from sphinx_model.encoding import Encoded, Turn
from sphinx_model.layout import Layout


def geometry(layout: Layout) -> Geometry:
    """The affine map of one image, as dialects take it."""
    canvas = (float(layout.side), float(layout.side))
    return Geometry(layout.sx, layout.sy, layout.dx, layout.dy, canvas, layout.width, layout.height)


def turns(sample: Sample, layouts: Sequence[Layout], dialect: Dialect) -> list[Turn]:
    """The turns of a sample with its regions written out; `layouts[i]` is the layout of image i."""
    geometries = [geometry(layout) for layout in layouts]
    return [
        Turn(
            message.role,
            [
                part.image
                if isinstance(part, ImagePart)
                else part.text
                if isinstance(part, TextPart)
                else dialect.render(part, sample.regions, geometries)
                for part in message.content
            ],
            message.supervise,
        )
        for message in sample.messages
    ]


def part(sample: Sample, first: int, last: int) -> Sample:
    """Messages `first` to `last` (not included) of a sample as a dialogue of their own.

    A system message stays in front. Images of the turns before are shown again at the beginning, in their order.
    """
    if first == 0 and last == len(sample.messages):
        return sample
    system = [message for message in sample.messages[:1] if message.role == "system" and first > 0]
    before = sample.messages[len(system) : first]
    begin, *rest = sample.messages[first:last]
    content = [piece for message in before for piece in message.content if isinstance(piece, ImagePart)]
    begin = replace(begin, content=(*content, *begin.content))
    return replace(sample, messages=(*system, begin, *rest))


def encode(sample: Sample, processor: Any, dialect: Dialect) -> tuple[Encoded, list[Layout]]:
    """Token ids and labels of a sample, and the layouts of its images; needs no pixels.

    Raises ValueError where the chat template refuses the sample's roles.
    """
    layouts = [processor.layout(image.width, image.height) for image in sample.images]
    return processor.encode(turns(sample, layouts, dialect), layouts), layouts


def views(example: Example, image: int, layout: Layout, processor: Any) -> np.ndarray:
    """Views of one picture, uint8 [V, S, S, 3].

    Raises ValueError where the picture has not the size of `layout`, and whatever a decoder raises at damaged bytes.
    """
    pixels: np.ndarray
    pixels, found = processor.views(example.images[image])  # bytes, so that a JPEG is decoded at the scale needed
    if found != layout:
        raise ValueError(f"image {image} is {found.width}x{found.height}, not {layout.width}x{layout.height}")
    return pixels
