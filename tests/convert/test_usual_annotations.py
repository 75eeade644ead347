"""The quick way through a usual COCO annotation: the same region as the careful one, and validated as it promises."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from sphinx_data.convert._common import RejectedError
from sphinx_data.convert._regions import coco_region, usual_region
from sphinx_data.sample import Image, Message, Origin, Region, Sample, TextPart, encode, problems

_PLACES = st.one_of(
    st.floats(-1, 70, allow_nan=False).map(lambda value: round(value, 2)),
    st.floats(0, 64),
    st.integers(0, 64),
    st.sampled_from([0, 0.0, 40, 40.0, 40.01, 64.0, 1e300, None, "1", True]),
)
_USUAL = st.floats(0, 40).map(lambda value: round(value, 2))
_RINGS = st.lists(
    st.lists(_USUAL, min_size=6, max_size=10) | st.lists(_PLACES, min_size=4, max_size=9), min_size=0, max_size=3
)
_BOXES = st.tuples(_USUAL, _USUAL, _USUAL, _USUAL) | st.lists(_PLACES, min_size=3, max_size=5)


@settings(max_examples=1500)
@given(
    _BOXES,
    st.none() | _RINGS,
    st.sampled_from([None, 0, 1, 12.5]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([(64, 40), (40, 64), (40, 40)]),
)
def test_what_the_quick_way_takes_is_what_the_careful_way_gives(
    box: Any, rings: Any, area: Any, crowd: Any, size: tuple[int, int]
) -> None:
    width, height = size
    said = {"bbox": box, "segmentation": rings, "area": area, "iscrowd": crowd}
    raw = json.dumps({key: value for key, value in said.items() if value is not None}).encode()
    quick = usual_region(raw, "cup", width, height)
    if quick is None:
        return
    try:
        careful = coco_region(json.loads(raw), "cup", width, height)
    except RejectedError as error:
        raise AssertionError(f"the careful way drops it: {error.detail}") from None
    assert (quick.region, quick.clipped, quick.area) == (careful.region, careful.clipped, careful.area)
    sample = sample_of(quick.region, width, height)
    assert problems(sample) == []
    assert encode(sample, validated=True) == encode(sample)


def test_usual_annotations_take_the_quick_way() -> None:
    """Else the test above would hold of nothing."""
    for said in (
        {"bbox": [1.5, 2, 30, 40], "area": 3, "iscrowd": 0, "id": 7, "image_id": 1, "category_id": 2},
        {"bbox": [0, 0, 64, 48], "segmentation": [[0, 0, 64, 0, 64, 48, 0.25, 47.99]]},
    ):
        found = usual_region(json.dumps(said).encode(), "cup", 64, 48)
        assert found is not None
        assert found.validated


def test_a_validated_sample_is_checked_in_all_but_its_regions() -> None:
    sample = sample_of(Region(box=(0.0, 0.0, 1.0, 1.0), label="cup"), 8, 8)
    assert problems(msgspec.structs.replace(sample, source=""), validated=True)[0].field == "source"
    assert b'"box":[0.0,0.0,1.0,1.0]' in encode(msgspec.structs.replace(sample, meta={"b": 1, "a": 2}), validated=True)


def sample_of(region: Region, width: int, height: int) -> Sample:
    return Sample(
        id="a", source="s", license="CC0-1.0", domain="vision", task="detection", split="train",
        images=(Image(file="0.jpg", width=width, height=height),), regions=(region,),
        messages=(Message(role="assistant", content=(TextPart(text="A cup."),)),), origin=Origin(file="a.json"),
    )  # fmt: skip
