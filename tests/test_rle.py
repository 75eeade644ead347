import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from sphinx_data import rle

RESULTS = Path(__file__).parent / "data" / "coco" / "segm_results.json"


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_masks_agree_with_pycocotools(height, width, seed, density):
    mask = np.random.default_rng(seed).random((height, width)) < density
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = theirs["counts"].decode()
    runs = rle.check(rle.parse(text), height, width)
    assert rle.write(runs) == text == rle.write(rle.from_array(mask))
    assert rle.area(runs) == mask.sum()
    assert (rle.window(runs, height, (0, 0, width, height)) == mask).all()
    box = rle.bounds(runs, height)
    if box is None:
        assert not mask.any()
    else:
        x0, y0, x1, y1 = box
        assert [x0, y0, x1 - x0, y1 - y0] == coco_mask.toBbox(theirs).tolist()
        assert (rle.window(runs, height, box) == mask[y0:y1, x0:x1]).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2
def test_real_masks_agree_with_pycocotools():
    for result in json.loads(RESULTS.read_text()):
        segmentation = result["segmentation"]
        height, width = segmentation["size"]
        runs = rle.check(rle.parse(segmentation["counts"]), height, width)
        theirs = coco_mask.decode({"size": [height, width], "counts": segmentation["counts"].encode()})
        assert (rle.window(runs, height, (0, 0, width, height)) == theirs.astype(bool)).all()


@pytest.mark.parametrize("counts", ["", "~~~", "o", "0" * 3 + "ooooooooooo0", "\x00", "é"])
def test_damaged_strings_raise_value_error(counts):
    with pytest.raises(ValueError, match=r"run|mask"):
        rle.check(rle.parse(counts), 10, 10)


@given(st.text(alphabet=[chr(c) for c in range(48, 112)], max_size=60), st.integers(1, 50), st.integers(1, 50))
def test_random_strings_never_crash(counts, height, width):
    try:
        runs = rle.check(rle.parse(counts), height, width)
    except ValueError:
        return
    assert rle.window(runs, height, (0, 0, width, height)).sum() == rle.area(runs)
