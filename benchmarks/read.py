"""Reading for training without decoding: ours in order and fully shuffled, against other loaders and a bare read.

Same bytes, page cache warm, one process, rounds in turn. Rivals that are not installed are left out. Targets: CPU per
sample at most 1.6 x a bare 1 MiB read of the same bytes, at least 5 x less than webdataset; the first sample after
resuming anywhere within 0.05 s.
Run: python benchmarks/read.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import webdataset
from common import rounds, samples, table

from sphinx_data import DatasetWriter, open_dataset

COUNT = 20_000
DISTINCT = 2000  # payloads in memory while writing; the file holds COUNT samples


def main() -> None:
    place = Path(tempfile.mkdtemp(prefix="bench-read-"))
    try:
        made = samples(DISTINCT)
        with DatasetWriter(str(place / "d"), "bench") as writer:
            for number in range(COUNT):
                sample, payload = made[number % DISTINCT]
                writer.add(sample, [payload])
        shards = sorted(str(path) for path in (place / "d/shards").iterdir())
        dataset = open_dataset(str(place / "d"))
        shuffled = np.random.default_rng(1).permutation(COUNT).tolist()

        def bare() -> int:
            for shard in shards:
                with open(shard, "rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass
            return COUNT

        def ours(rows: list[int]) -> int:
            for row in rows:
                example = dataset[row]
                _ = example.json, example.images
            return COUNT

        def theirs(buffer: int) -> int:
            pipeline = webdataset.WebDataset(shards, shardshuffle=False)
            return sum(1 for _ in (pipeline.shuffle(buffer) if buffer else pipeline))

        others = {**energon(place, shards), **hugging_face(shards)}
        found = rounds(
            {
                "bare 1 MiB reads (the floor)": bare,
                "sphinx_data in order": lambda: ours(list(range(COUNT))),
                "sphinx_data fully shuffled": lambda: ours(shuffled),
                "webdataset in order": lambda: theirs(0),
                "webdataset shuffle(1000)": lambda: theirs(1000),
                **others,
            },
            repeats=3,
        )
        table(found, "bare 1 MiB reads (the floor)")
        resume(str(place / "d"))
        decode(place / "jpeg")
    finally:
        shutil.rmtree(place)


def energon(place: Path, shards: list[str]) -> dict[str, Callable[[], int]]:
    """Megatron-Energon's loader in this process, undecoded, in order and with a buffer, where it is installed."""
    try:
        from megatron import energon
    except ImportError:
        print("megatron-energon is not installed")
        return {}
    folder = place / "energon"
    folder.mkdir()
    for shard in shards:
        os.link(shard, folder / Path(shard).name)
    command = [Path(sys.executable).with_name("energon"), "prepare", folder, "--non-interactive"]
    command += ["--split-parts", r"train:.*\.tar", "--sample-type", "CrudeWebdataset"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)

    @energon.stateless
    def cook(sample: dict) -> energon.TextSample:
        return energon.TextSample(**energon.basic_sample_keys(sample), text=sample["json"])

    class Encoder(energon.DefaultTaskEncoder):
        decoder = None
        cookers = [energon.Cooker(cook)]

        def batch(self, samples: list) -> list:
            return samples

    def run(buffer: int | None) -> int:
        data = energon.get_train_dataset(
            folder, batch_size=1, shuffle_buffer_size=buffer, max_samples_per_sequence=100 if buffer else None,
            repeat=False, worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=0),
            task_encoder=Encoder(),
        )  # fmt: skip
        return sum(1 for _ in energon.get_loader(data))

    return {"Energon in order": lambda: run(None), "Energon shuffle(1000)": lambda: run(1000)}


def hugging_face(shards: list[str]) -> dict[str, Callable[[], int]]:
    """Hugging Face datasets, streaming the same tars undecoded, where it is installed."""
    try:
        import datasets
    except ImportError:
        print("datasets is not installed")
        return {}

    def run(buffer: int) -> int:
        data = datasets.load_dataset("webdataset", data_files=shards, split="train", streaming=True)
        data = data.cast_column("0.jpg", datasets.Image(decode=False))
        return sum(1 for _ in (data.shuffle(buffer_size=buffer, seed=0) if buffer else data))

    return {"datasets streaming": lambda: run(0), "datasets shuffle(1000)": lambda: run(1000)}


def decode(place: Path) -> None:
    """Pixels of 448 x 448 JPEGs of texture: Pillow, ours, ours at the scale that covers 224, ours with two threads."""
    (sample, _), *_ = samples(1)
    chance = np.random.default_rng(0)
    with DatasetWriter(str(place), "jpeg") as writer:
        for _ in range(400):
            texture = cv2.GaussianBlur(chance.integers(0, 255, (448, 448, 3), np.uint8), (5, 5), 0)
            writer.add(sample, [cv2.imencode(".jpg", texture)[1].tobytes()])
    dataset = open_dataset(str(place))

    def pillow() -> int:
        return sum(np.asarray(example.image(0).convert("RGB")).size > 0 for example in dataset)

    def ours(cover: tuple[int, int] = (0, 0)) -> int:
        return sum(example.rgb(0, cover).size > 0 for example in dataset)

    def threads() -> int:
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda row: int(dataset[row].rgb(0).size > 0), range(len(dataset))))

    found = rounds(
        {"Pillow": pillow, "rgb": ours, "rgb, cover 224": lambda: ours((224, 224)), "rgb, two threads": threads},
        repeats=5,
    )
    table(found, "Pillow")


def resume(place: str) -> None:
    """From an opened process to a sample in the middle, in processes of their own after imports."""
    seconds = []
    for _ in range(5):
        reader, writer = os.pipe()
        if os.fork() == 0:
            start = time.perf_counter()
            _ = open_dataset(place)[COUNT * 3 // 4].sample
            os.write(writer, str(time.perf_counter() - start).encode())
            os._exit(0)
        os.wait()
        seconds.append(float(os.read(reader, 64)))
    print(f"open and first sample in the middle: {sorted(seconds)[2] * 1000:.1f} ms")


if __name__ == "__main__":
    main()
