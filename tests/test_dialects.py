import pytest
from hypothesis import given
from hypothesis import strategies as st

from sphinx_data.dialects import DIALECTS, Geometry, check_forms, dialect
from sphinx_data.errors import UsageError
from sphinx_data.sample import Region, RegionPart

SIDE = st.integers(1, 4000)
UNIT = st.floats(0, 1)


@st.composite
def geometries(draw):
    width, height = draw(SIDE), draw(SIDE)
    if draw(st.booleans()):
        return Geometry.padded(width, height, draw(st.one_of(st.none(), st.integers(14, 4000))))
    return Geometry.stretched(width, height, draw(st.one_of(st.none(), st.tuples(st.just(448.0), st.just(672.0)))))


def tolerance(name: str, g: Geometry) -> tuple[float, float]:
    """Half a step of the dialect's numbers in pixels of the image (a whole one for the last of paligemma's bins)."""
    w, h = g.canvas[0] / g.sx, g.canvas[1] / g.sy
    steps = {"sphinx": (w / 200, h / 200), "plain": (g.width / 2000, g.height / 2000)}
    steps |= dict.fromkeys(("qwen2-vl", "internvl"), (g.width / 2000, g.height / 2000))
    # a model that sees n pixels cannot say a place beyond the last whole one
    steps |= {"qwen2.5-vl": (1 / g.sx, 1 / g.sy), "paligemma": (w / 1024, h / 1024)}
    x, y = steps[name]
    return x + 1e-6 * w, y + 1e-6 * h


def near(got, wanted, name, g) -> bool:
    limits = tolerance(name, g)
    return all(abs(a - b) <= limits[i % 2] for i, (a, b) in enumerate(zip(got, wanted, strict=True)))


def box_in(g: Geometry, corners) -> tuple[float, ...]:
    (xa, xb), (ya, yb) = sorted(corners[:2]), sorted(corners[2:])
    return xa * g.width, ya * g.height, xb * g.width, yb * g.height


@pytest.mark.parametrize("name", DIALECTS)
@given(geometries(), st.lists(st.tuples(UNIT, UNIT, UNIT, UNIT), min_size=1, max_size=4))
def test_boxes_come_back_within_rounding(name, g, corners):
    regions = [Region(box=box_in(g, c)) for c in corners]
    part = RegionPart(regions=tuple(range(len(regions))), form="box", text="red cup")
    text = dialect(name).render(part, regions, [g])
    found = dialect(name).parse(f"There is a {text}", g)
    assert len(found) == len(regions)
    assert all(near(f.box, r.box, name, g) for f, r in zip(found, regions, strict=True))
    assert all("red cup" in f.phrase for f in found)


@pytest.mark.parametrize("name", [n for n, d in DIALECTS.items() if "point" in d.forms])
@given(geometries(), UNIT, UNIT)
def test_points_come_back_within_rounding(name, g, x, y):
    region = Region(box=(0, 0, g.width, g.height), point=(x * g.width, y * g.height))
    text = dialect(name).render(RegionPart(regions=(0,), form="point"), [region], [g])
    (found,) = dialect(name).parse(text, g)
    assert near(found.point, region.point, name, g)


@pytest.mark.parametrize("name", [n for n, d in DIALECTS.items() if "mark" in d.forms])
@given(geometries(), st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=4))
def test_marks_come_back_with_name_and_point(name, g, points):
    regions = [
        Region(box=(0, 0, g.width, g.height), point=(x * g.width, y * g.height), mark=str(n + 1))
        for n, (x, y) in enumerate(points)
    ]
    part = RegionPart(regions=tuple(range(len(regions))), form="mark")
    found = dialect(name).parse(f"Look at {dialect(name).render(part, regions, [g])}", g)
    assert [f.mark for f in found] == [r.mark for r in regions]
    assert all(near(f.point, r.point, name, g) for f, r in zip(found, regions, strict=True))


@pytest.mark.parametrize("name", DIALECTS)
def test_mark_names_come_back(name):
    regions = [Region(box=(0, 0, 1, 1), mark=mark) for mark in ("3", "12", "b")]
    g = Geometry.stretched(10, 10)
    text = dialect(name).render(RegionPart(regions=(0, 1, 2), form="mark-name"), regions, [g])
    assert text == "Mark 3, Mark 12, Mark b"
    assert [found.mark for found in dialect(name).parse(text, g)] == ["3", "12", "b"]


@pytest.mark.parametrize("name", ["sphinx", "plain"])
@given(geometries(), st.lists(st.tuples(UNIT, UNIT, st.sampled_from([1, 2])), min_size=3, max_size=17))
def test_keypoints_and_polygons_come_back(name, g, points):
    scaled = tuple((x * g.width, y * g.height, v) for x, y, v in points)
    flat = tuple(value for x, y, _ in scaled for value in (x, y))
    region = Region(box=(0, 0, g.width, g.height), keypoints=(*scaled, (0.0, 0.0, 0)), polygon=(flat,))
    (polygon,) = dialect(name).parse(dialect(name).render(RegionPart(regions=(0,), form="polygon"), [region], [g]), g)
    assert near(polygon.polygon, flat, name, g)
    part = RegionPart(regions=(0,), form="keypoints", text="horse keypoints")
    (found,) = dialect(name).parse(dialect(name).render(part, [region], [g]), g)
    assert len(found.keypoints) == len(points) + 1
    assert found.keypoints[-1] == (0.0, 0.0, 0)
    assert near([v for x, y, _ in found.keypoints[:-1] for v in (x, y)], flat, name, g)


CUP = [Region(box=(100, 0, 300, 200)), Region(box=(0, 0, 400, 200))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sphinx", "cups [0.25, 0.25, 0.75, 0.75; 0.00, 0.25, 1.00, 0.75]"),
        ("plain", "cups [0.250, 0.000, 0.750, 1.000; 0.000, 0.000, 1.000, 1.000]"),
        (
            "qwen2-vl",
            "<|object_ref_start|>cups<|object_ref_end|><|box_start|>(250,0),(750,1000)<|box_end|>"
            "<|box_start|>(0,0),(1000,1000)<|box_end|>",
        ),
        (
            "qwen2.5-vl",
            '[{"bbox_2d": [200, 200, 600, 600], "label": "cups"}, {"bbox_2d": [0, 200, 800, 600], "label": "cups"}]',
        ),
        ("paligemma", "<loc0256><loc0256><loc0768><loc0768> cups ; <loc0256><loc0000><loc0768><loc1023> cups"),
        ("internvl", "<ref>cups</ref><box>[[250, 0, 750, 1000], [0, 0, 1000, 1000]]</box>"),
    ],
)
def test_each_family_writes_its_own_form(name, text):
    geometry = Geometry.padded(400, 200, 800)
    assert dialect(name).render(RegionPart(regions=(0, 1), form="box", text="cups"), CUP, [geometry]) == text


def test_sphinx_marks_are_written_as_in_the_paper():
    region = Region(box=(0, 0, 10, 10), point=(5.6, 2.4), mark="1")
    g = [Geometry.stretched(10, 10)]
    assert DIALECTS["sphinx"].render(RegionPart(regions=(0,), form="mark"), [region], g) == "<Mark 1> [0.56, 0.24]"
    assert DIALECTS["sphinx"].render(RegionPart(regions=(0,), form="mark-name"), [region], g) == "Mark 1"


def test_values_outside_are_clamped():
    g = Geometry(1.0, 1.0, -5.0, -5.0, (10.0, 10.0), 20, 20)  # a crop: the canvas shows less than the image
    text = DIALECTS["sphinx"].render(RegionPart(regions=(0,), form="box"), [Region(box=(0, 0, 20, 20))], [g])
    assert text == "[0.00, 0.00, 1.00, 1.00]"


@given(st.text(max_size=200))
@pytest.mark.parametrize("name", DIALECTS)
def test_any_answer_can_be_parsed(name, text):
    DIALECTS[name].parse(text, Geometry.padded(640, 480))


@pytest.mark.parametrize(
    "text", ["[0.1, 0.2, 0.3]", "[a, b]", "[1.2.3, 4]", "<box>[[1,x]]</box>", "[{]", '{"bbox_2d": 3}']
)
def test_broken_answers_name_no_place(text):
    assert all(not chosen.parse(text, Geometry.padded(640, 480)) for chosen in DIALECTS.values())


def test_a_form_that_a_dialect_lacks_fails_at_planning():
    check_forms("sphinx", ["box", "mark"])
    with pytest.raises(UsageError, match=r"internvl.*polygon.*sphinx"):
        check_forms("internvl", ["box", "polygon"])
    with pytest.raises(UsageError, match="choose one of"):
        check_forms("gpt", [])
