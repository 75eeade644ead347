"""Set-of-Mark through the executor: from a dataset directory, and from annotations through a converter."""

from pathlib import Path

from sphinx_data.convert import Inputs, coco
from sphinx_data.dataset.reader import open_dataset
from sphinx_data.executors import build as executor
from sphinx_data.executors import plan
from sphinx_data.som import build

DATA = Path(__file__).parents[1] / "data" / "coco"


def run(out: Path, name: str, options, records, kind, produce, places):
    made = plan.make(
        str(out), builder=name, name=out.name, parameters=options, inputs=[], records=records, weight=lambda r: r.weight
    )
    executor.run(str(out), made, executor.Task(produce, kind, options, places), executor.Settings())
    return open_dataset(str(out))


def test_both_ways_give_the_same_samples(tmp_path):
    inputs = Inputs((str(DATA / "person_keypoints.json"),))
    chosen = coco.Options(source="coco")
    options = build.Options(vocabulary=build.vocabulary_of(coco.class_names(inputs)))
    assert options.vocabulary == ("person",)
    photos = run(
        tmp_path / "photos", "convert/coco", chosen, coco.records(inputs, chosen), coco.Record, coco.produce,
        inputs.places(),
    )  # fmt: skip
    assert build.dataset_vocabulary(photos) == ("person",)
    places = {"dataset": str(tmp_path / "photos")}
    one = run(tmp_path / "one", "som", options, build.records(photos, options), build.Record, build.produce, places)

    def produce(record, options, places):
        return build.mark(coco.produce(record, chosen, places), options)

    two = run(tmp_path / "two", "som", options, coco.records(inputs, chosen), coco.Record, produce, inputs.places())
    assert [example.sample for example in one] == [example.sample for example in two]
    assert one.fingerprint == two.fingerprint
    (example,) = one
    assert example.sample.id == "coco/785/som"
    assert bytes(example.images[0]) == (DATA / "000000000785.jpg").read_bytes()
