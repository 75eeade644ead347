import filecmp
import io
import shutil

import msgspec
import pytest
from PIL import Image
from samples import picture_sample, png

from sphinx_data import DatasetWriter, open_dataset, rle
from sphinx_data.cli import group
from sphinx_data.dataset.verify import verify
from sphinx_data.sample import Mask


def command(*arguments: object) -> None:
    group.main([str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture
def mix(make_dataset, tmp_path):
    make_dataset("a", pictures=700, texts=50, shared=2)
    make_dataset("b", pictures=30, texts=10)
    (tmp_path / "mix.yaml").write_text("name: m\nsources: [{dataset: a, epochs: 1}, {dataset: b, epochs: 3}]\n")
    command("mix", tmp_path / "mix.yaml", "--root", tmp_path, "--out", tmp_path / "m")
    return tmp_path / "m"


def test_shards_hold_the_mix_byte_for_byte_in_its_order(mix, tmp_path):
    command("materialise", mix, "--out", tmp_path / "shards", "--workers", 2)
    virtual, made = open_dataset(str(mix)), open_dataset(str(tmp_path / "shards"))
    assert made.fingerprint == virtual.fingerprint
    assert len(made.description.parts) > 1
    for one, other in zip(virtual, made, strict=True):
        assert one.json == other.json
        assert one.images == other.images
    assert list(verify(made)) == []


def test_moved_sources_another_folder_and_one_worker_give_the_same_bytes(mix, tmp_path):
    command("materialise", mix, "--out", tmp_path / "one/shards", "--workers", 2)
    shutil.move(tmp_path / "a", tmp_path / "moved")
    shutil.copytree(mix, tmp_path / "far/away/m")
    command(
        "materialise", tmp_path / "far/away/m", "--out", tmp_path / "two/shards", "--workers", 1,
        "--root", f"a={tmp_path / 'moved'}", "--root", f"b={tmp_path / 'b'}",
    )  # fmt: skip
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", files, shallow=False)[1:] == ([], [])


def test_a_damaged_source_is_not_copied(mix, tmp_path):
    shard = tmp_path / "a/shards/000000-00.tar"
    data = bytearray(shard.read_bytes())
    entry = open_dataset(str(tmp_path / "a")).table(["images"])["images"][5].as_py()[0]
    data[entry["offset"] + 50] ^= 4
    shard.write_bytes(data)
    with pytest.raises(Exception, match="a/5: is not what its index says; run sphinx-data verify on its dataset"):
        command("materialise", mix, "--out", tmp_path / "shards", "--workers", 1)
    assert not (tmp_path / "shards/dataset.json").exists()


def test_smaller_pictures_take_their_regions_along(tmp_path):
    mask = [[0] * 60 for _ in range(40)]
    for y in range(8, 24):
        mask[y][6:33] = [1] * 27
    import numpy as np

    sample = picture_sample("a", 0)
    region = msgspec.structs.replace(
        sample.regions[0], box=(6, 8, 33, 24), point=(30, 20), polygon=((6.0, 8.0, 33.0, 8.0, 33.0, 24.0),),
        keypoints=((12.0, 16.0, 2), (0.0, 0.0, 0)),
        mask=Mask(size=(40, 60), counts=rle.write(rle.from_array(np.array(mask, bool)))),
    )  # fmt: skip
    image = msgspec.structs.replace(sample.images[0], width=60, height=40)
    small = picture_sample("a", 1)
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        writer.add(msgspec.structs.replace(sample, images=(image,), regions=(region,)), [png((9, 9, 9), 60, 40)])
        writer.add(small, [png((1, 1, 1))])
    (tmp_path / "mix.yaml").write_text("name: m\norder: none\nsources: [{dataset: a}]\n")
    command("mix", tmp_path / "mix.yaml", "--root", tmp_path, "--out", tmp_path / "m")
    command("materialise", tmp_path / "m", "--out", tmp_path / "small", "--max-side", 30, "--workers", 1)
    made = open_dataset(str(tmp_path / "small"))
    assert made[1].sample == small
    assert bytes(made[1].images[0]) == png((1, 1, 1))
    found = made[0].sample
    assert (found.images[0].width, found.images[0].height) == (30, 20)
    assert Image.open(io.BytesIO(made[0].images[0])).size == (30, 20)
    scaled = found.regions[0]
    assert scaled.box == (3, 4, 16.5, 12)
    assert scaled.point == (15, 10)
    assert scaled.polygon == ((3.0, 4.0, 16.5, 4.0, 16.5, 12.0),)
    assert scaled.keypoints[0] == (6, 8, 2)
    rows, columns = np.nonzero(rle.to_array(scaled.mask))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 11, 3, 15)
