import pytest

from sphinx_data.licenses import Allows, allows, combine, from_coco


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CC-BY-4.0", Allows(True, True)),
        ("CC-BY-NC-SA-2.0", Allows(False, True)),
        ("CC-BY-NC-ND-2.0", Allows(False, True)),
        ("apache-2.0", Allows(True, True)),
        ("CC0-1.0", Allows(True, True)),
        ("research-only", Allows(False, False)),
        ("unknown", Allows(None, None)),
        ("CC-BY-4.0 or so", Allows(None, None)),
        ("CC-BY-4.0 AND MIT", Allows(True, True)),
        ("CC-BY-NC-2.0 AND MIT", Allows(False, True)),
        ("MIT AND unheard-of", Allows(None, None)),
        ("MIT OR CC-BY-NC-2.0 AND MIT", Allows(None, None)),
    ],
)
def test_what_a_licence_allows(name, expected):
    assert allows(name) == expected


def test_all_licences_of_a_sample_must_allow_it():
    assert combine(["CC-BY-4.0", "CC-BY-2.0"]) == Allows(True, True)
    assert combine(["CC-BY-4.0", "CC-BY-NC-2.0"]) == Allows(False, True)
    assert combine(["unknown", "CC-BY-NC-2.0"]) == Allows(False, None)
    assert combine(["CC-BY-4.0", None]) == Allows(True, True)
    assert combine([]) == Allows(None, None)


def test_coco_licences_become_spdx_ids():
    assert from_coco({"id": 3, "url": "http://creativecommons.org/licenses/by-nc-nd/2.0/"}) == "CC-BY-NC-ND-2.0"
    assert from_coco({"url": "http://flickr.com/commons/usage/"}) == "no-known-copyright-restrictions"
    assert from_coco({"url": "", "name": "MIT"}) == "MIT"
    assert from_coco({"name": "Whatever"}) == "unknown"
