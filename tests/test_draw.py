import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from sphinx_data import draw, rle
from sphinx_data.sample import Mask, Region

COLOUR = st.tuples(*[st.integers(0, 255)] * 3)


@given(COLOUR)
def test_text_always_reads_on_its_ground(ground):
    assert draw.contrast(draw.text_colour(ground), ground) >= 4.5


@pytest.mark.parametrize("text", ["1", "12", "b", "traffic light", "gy"])
@pytest.mark.parametrize("centre", [(50, 40), (0, 0), (199, 99)])
def test_a_label_stays_in_its_box(text, centre):
    picture = Image.new("RGB", (200, 100), (1, 2, 3))
    draw.draw_label(ImageDraw.Draw(picture), text, centre, (250, 240, 60), 14, picture.size)
    rows, columns = np.nonzero((np.asarray(picture) != (1, 2, 3)).any(axis=2))
    x0, y0, x1, y1 = draw.label_box(text, centre, 14, picture.size)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)
    assert 0 <= x0 < x1 <= 200
    assert 0 <= y0 < y1 <= 100


def test_a_mask_is_tinted_where_it_is_and_nowhere_else():
    mask = np.zeros((60, 80), bool)
    mask[10:20, 30:50] = True
    region = Region(box=(30, 10, 50, 20), mask=Mask(size=(60, 80), counts=rle.write(rle.from_array(mask))))
    out = np.asarray(draw.draw_regions(Image.new("RGB", (80, 60), (100, 100, 100)), [region]))
    changed = (out != 100).any(axis=2)
    assert changed[11:19, 31:49].all()
    assert not changed[~mask].any()


def test_regions_of_other_images_are_left_out_and_damaged_masks_are_no_matter():
    regions = [
        Region(image=1, box=(0, 0, 50, 50), label="cat"),
        Region(box=(1, 1, 2, 2), mask=Mask(size=(1, 1), counts="~")),
        Region(box=(0, 0, 9, 9), polygon=((0, 0, 9, 0, 9, 9),), keypoints=((1, 1, 1), (0, 0, 0)), point=(3, 3)),
    ]
    picture = draw.draw_regions(Image.new("RGBA", (80, 60)), regions)
    assert picture.size == (80, 60)
    assert np.asarray(picture)[30:, 30:].min() == 255  # transparent is drawn on white
