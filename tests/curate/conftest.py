import io

import pytest
from msgspec.structs import replace
from photos import encoded
from PIL import Image as Pictures
from samples import picture_sample, text_sample

from sphinx_data.dataset import description
from sphinx_data.dataset.writer import PartWriter
from sphinx_data.sample import Built, Image


@pytest.fixture
def write(tmp_path):
    """Writes a dataset of these pictures (encoded; None is a text) in parts of `rows` samples; returns its place."""

    def write(name: str, pictures: list[bytes | None], rows: int = 4) -> str:
        place = str(tmp_path / name)
        parts = range(0, len(pictures), rows)
        for part, start in enumerate(parts):
            with PartWriter(place, part) as writer:
                for number, data in enumerate(pictures[start : start + rows], start):
                    writer.add(_built(name, number, data))
                writer.commit()
        description.complete(place, name=name, builder="test", parameters={}, parts=len(parts))
        return place

    return write


def _built(name: str, number: int, data: bytes | None) -> Built:
    if data is None:
        return Built(text_sample(name, number))
    picture = Pictures.open(io.BytesIO(data))
    file = {"PNG": "0.png", "JPEG": "0.jpg"}[str(picture.format)]
    sample = picture_sample(name, number, answer=f"red {number}")
    image = Image(file=file, width=picture.width, height=picture.height)

    return Built(replace(sample, images=(image,)), (data,))


@pytest.fixture
def many(write):
    """Forty pictures of as many sizes and colours in ten parts, a text in each."""
    pictures = [encoded(Pictures.new("RGB", (20 + n, 16), (n, 2 * n, 3 * n))) for n in range(40)]
    return write("many", [None if n % 4 == 3 else data for n, data in enumerate(pictures)])
