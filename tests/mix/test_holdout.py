"""No image content on both sides, however samples share images."""

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, given, settings
from samples import picture_sample, png

from sphinx_data import DatasetWriter, open_dataset
from sphinx_data.mix.holdout import held_out
from sphinx_data.sample import Image


def write(place, name, groups):
    """A dataset of samples with the pictures of these numbers."""
    with DatasetWriter(str(place / name), name) as writer:
        for number, pictures in enumerate(groups):
            images = tuple(Image(file=f"{n}.png", width=12, height=8) for n in range(len(pictures)))
            sample = msgspec.structs.replace(picture_sample(name, number), images=images)
            writer.add(sample, [png((p, 0, 0)) for p in pictures])
    return open_dataset(str(place / name))


GROUPS = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=3, unique=True), min_size=1, max_size=12)


@given(groups=st.lists(GROUPS, min_size=1, max_size=3), seed=st.integers(0, 99), share=st.sampled_from([0.1, 0.5, 0.9]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_samples_that_share_images_through_others_go_together(tmp_path_factory, groups, seed, share):
    place = tmp_path_factory.mktemp("h")
    datasets = [write(place, f"d{n}", each) for n, each in enumerate(groups)]
    found = held_out(datasets, share, seed)
    sides = {True: set(), False: set()}
    for each, masks in zip(groups, found, strict=True):
        for pictures, out in zip(each, masks.tolist(), strict=True):
            sides[out] |= set(pictures)
    assert not sides[True] & sides[False]
    again = held_out(datasets[::-1], share, seed)[::-1]
    assert [mask.tolist() for mask in found] == [mask.tolist() for mask in again]


def test_a_dataset_named_twice_is_held_out_once_and_alike(make_dataset, mixed, ids):
    make_dataset("a", pictures=60, texts=0)
    sources = [{"dataset": "a", "where": "num_images = 1", "cap": 40}, {"dataset": "a", "epochs": 1}]
    mix, _ = mixed(sources=sources, holdout=0.3)
    held = open_dataset(f"{mix.directory}/holdout")
    assert len(held) > 5
    assert not set(ids(held)) & set(ids(mix))
