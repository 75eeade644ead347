"""Our shards in the hands of other readers."""

import json
import subprocess
import sys
import tarfile

import pytest

from sphinx_data import open_dataset


def test_webdataset_reads_every_sample(make_dataset):
    webdataset = pytest.importorskip("webdataset")
    place = make_dataset("a", pictures=30, texts=5)
    ours = open_dataset(place)
    found = list(webdataset.WebDataset(f"{place}/shards/000000-00.tar", shardshuffle=False))
    assert len(found) == len(ours)
    for theirs, example in zip(found, ours, strict=True):
        assert theirs["json"] == bytes(example.json)
        images = [theirs[key] for key in sorted(theirs) if key.endswith(".png")]
        assert images == [bytes(image) for image in example.images]


def test_tarfile_and_tar_read_every_member(make_dataset):
    place = make_dataset("a", pictures=30, texts=5)
    shard = f"{place}/shards/000000-00.tar"
    with tarfile.open(shard) as archive:
        names = archive.getnames()
        assert json.loads(archive.extractfile("000000000034.json").read())["id"] == "a/34"
    assert len(names) == 30 * 2 + 5
    listed = subprocess.run(["tar", "-tf", shard], check=True, capture_output=True, text=True)
    assert listed.stdout.split() == names


def test_the_data_half_never_imports_torch(make_dataset):
    place = make_dataset("a", pictures=2)
    code = (
        "import sys; from sphinx_data import open_dataset; from sphinx_data.dataset.verify import verify; "
        f"dataset = open_dataset({place!r}); list(verify(dataset)); dataset[0].image(0).load(); "
        "print([name for name in ('torch', 'webdataset', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
