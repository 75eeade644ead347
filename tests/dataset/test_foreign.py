"""Our shards in the hands of other readers."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

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


@pytest.mark.heavy
def test_megatron_energon_prepares_and_loads_every_sample(make_dataset, tmp_path):
    """Energon brings torch of its own choice, so it is no dependency; the test runs where somebody has installed it."""
    pytest.importorskip("megatron.energon")
    place = make_dataset("a", pictures=30, texts=0)
    shards = tmp_path / "shards"
    shutil.copytree(f"{place}/shards", shards)
    prepare = [Path(sys.executable).with_name("energon"), "prepare", shards, "--non-interactive", "--num-workers", "1"]
    subprocess.run(
        [*map(str, prepare), "--split-parts", r"train:.*\.tar", "--sample-type", "CrudeWebdataset"], check=True,
        capture_output=True,
    )  # fmt: skip
    code = f"""
import json
import shutil
from megatron.energon import (
    Cooker, DefaultTaskEncoder, TextSample, WorkerConfig, basic_sample_keys, get_loader, get_train_dataset, stateless
)

@stateless
def cook(sample):
    name, picture = json.loads(sample["json"])["id"], sample["0.png"]
    return TextSample(**basic_sample_keys(sample), text=name + " " + str(len(picture)))

class Encoder(DefaultTaskEncoder):
    decoder = None
    cookers = [Cooker(cook)]
    def batch(self, samples):
        return samples

data = get_train_dataset(
    {str(shards)!r}, batch_size=1, shuffle_buffer_size=None, max_samples_per_sequence=None, repeat=False,
    worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0), task_encoder=Encoder(),
)
print(json.dumps([sample.text for batch in get_loader(data) for sample in batch]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    expected = [f"{example.sample.id} {len(example.images[0])}" for example in open_dataset(place)]
    assert sorted(json.loads(done.stdout.splitlines()[-1])) == sorted(expected)
