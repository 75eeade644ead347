from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from sphinx_data.dataset.reader import Example


def example(**options) -> tuple[Example, Image.Image]:
    x, y = np.meshgrid(np.arange(300), np.arange(200))
    picture = Image.fromarray(np.stack([x % 256, y, (x + y) % 256], axis=-1).astype(np.uint8))
    picture = picture.convert(options.pop("mode", "RGB"))
    file = BytesIO()
    picture.save(file, **options)
    return Example(memoryview(b"{}"), (memoryview(file.getvalue()),)), picture


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "PNG", "mode": "L"}, {"format": "WEBP"}])
def test_pixels_are_those_of_pillow(options):
    made, _ = example(**options)
    assert np.array_equal(made.rgb(0), np.asarray(made.image(0).convert("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_close_to_pillow_and_reduced_only_as_far_as_asked(mode):
    made, _ = example(format="JPEG", quality=95, mode=mode)
    full = np.asarray(made.image(0).convert("RGB")).astype(int)
    assert np.abs(made.rgb(0).astype(int) - full).mean() < 2
    assert made.rgb(0).shape == (200, 300, 3)
    assert made.rgb(0, cover=(150, 100)).shape == (100, 150, 3)
    assert made.rgb(0, cover=(151, 100)).shape[1] >= 151
    assert made.rgb(0, cover=(1000, 1000)).shape == (200, 300, 3)


def test_a_damaged_picture_is_an_oserror():
    made, _ = example(format="JPEG")
    cut = Example(memoryview(b"{}"), (made.images[0][:300],))
    with pytest.raises(OSError, match=r"(?i)truncated"):
        cut.rgb(0)
