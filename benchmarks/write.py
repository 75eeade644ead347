"""Writing shards: ours with index, checks and fsync, against webdataset's ShardWriter without either.

Target: at most half the CPU per sample, and faster. Run: python benchmarks/write.py
"""

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import webdataset
from common import rounds, samples, table

from sphinx_data import DatasetWriter

COUNT = 5000
SHARD = 1000


def main() -> None:
    made = samples(COUNT)
    place = Path(tempfile.mkdtemp(prefix="bench-write-"))

    def ours() -> int:
        shutil.rmtree(place / "ours", ignore_errors=True)
        with DatasetWriter(str(place / "ours"), "bench") as writer:
            for sample, payload in made:
                writer.add(sample, [payload])
        return COUNT

    def theirs(sync: bool) -> int:
        shutil.rmtree(place / "theirs", ignore_errors=True)
        (place / "theirs").mkdir()
        with webdataset.ShardWriter(str(place / "theirs/%06d.tar"), maxcount=SHARD, verbose=0) as sink:
            for number, (sample, payload) in enumerate(made):
                sink.write({"__key__": f"{number:012d}", "json": msgspec.to_builtins(sample), "0.jpg": payload})
        if sync:
            for path in (place / "theirs").iterdir():
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
        return COUNT

    try:
        found = rounds(
            {
                "sphinx_data (index, checks, fsync)": ours,
                "webdataset ShardWriter": lambda: theirs(False),
                "webdataset ShardWriter + fsync": lambda: theirs(True),
            },
            repeats=5,
        )
    finally:
        shutil.rmtree(place)
    table(found, "webdataset ShardWriter + fsync")


if __name__ == "__main__":
    main()
