"""Writing one part: shards, then rejects, then the index, each appearing whole under its name."""

from collections.abc import Sequence
from typing import Any

import msgspec
import xxhash

from sphinx_data import licenses, storage
from sphinx_data.dataset import description, layout, tables, tar
from sphinx_data.dataset.reader import Example, content_hash
from sphinx_data.errors import InputError, InvalidSample, UsageError
from sphinx_data.sample import Built, Reject, Sample, TextPart, encode, problems

_PART_ROWS = 8192  # of DatasetWriter
_CHUNK = 1 << 20  # bytes that are stored at once


class PartWriter:
    """Collects the samples and rejects of one part; `commit` makes them a part, leaving without it leaves nothing.

    >>> with PartWriter("out", part=0) as part:
    ...     part.add(built)
    ...     part.commit()
    """

    def __init__(self, directory: str, part: int, shard_bytes: int = layout.SHARD_BYTES) -> None:
        self.directory, self.part, self.shard_bytes = directory, part, shard_bytes
        self.rows: list[dict[str, Any]] = []
        self.rejects: list[dict[str, Any]] = []
        self._shards: list[dict[str, Any]] = []
        self._shard: _Shard | None = None

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shard is not None:
            self._shard.discard()

    def add(self, built: Built) -> None:
        """Append a sample. Raises InvalidSample naming id and field when it breaks the schema."""
        sample, media, validated = built
        _check(sample, media, validated)
        self._append(encode(sample, validated), media, sample)

    def copy(self, example: Example, expected: bytes) -> None:
        """Append a stored sample byte for byte. Raises InputError when its `content` is not the expected one."""
        self._append(bytes(example.json), example.images, example.sample)
        if self.rows[-1]["content"] != expected:
            raise InputError(f"{example.sample.id}: is not what its index says; run sphinx-data verify on its dataset")

    def _append(self, data: bytes, media: Sequence[bytes | memoryview], sample: Sample) -> None:
        if len(self.rows) > layout.LARGEST_PART:
            raise InvalidSample(f"part {self.part} has more than {layout.LARGEST_PART + 1} samples; plan smaller parts")
        key = layout.key(self.part, len(self.rows))
        members: list[tuple[str, bytes | memoryview]] = [(f"{key}.json", data)]
        members += [(f"{key}.{image.file}", payload) for image, payload in zip(sample.images, media, strict=True)]
        size = sum(tar.BLOCK + tar.padded(len(payload)) for _, payload in members)
        shard = self._shard_for(size)
        offset = shard.size
        starts = [shard.write(name, payload) for name, payload in members]
        hashes = [xxhash.xxh3_128_digest(payload) for payload in media]
        images = [
            {"offset": start, "size": len(payload), "width": image.width, "height": image.height,
             "format": image.file.partition(".")[2], "xxh3": image_hash}
            for image, payload, start, image_hash in zip(sample.images, media, starts[1:], hashes, strict=True)
        ]  # fmt: skip
        place = {"shard": shard.number, "offset": offset, "size": shard.size - offset, "json_size": len(data)}
        self.rows.append(place | {"images": images, "content": content_hash(data, hashes)} | describe(sample))

    def reject(self, reject: Reject) -> None:
        """Append a reject."""
        self.rejects.append({name: getattr(reject, name) for name in Reject.__struct_fields__})

    def commit(self) -> None:
        """Make the part complete: the last shard, rejects and, as the very last, the index."""
        self._close_shard()
        tables.write(
            storage.join(self.directory, layout.rejects(self.part)), tables.from_rows(self.rejects, tables.REJECTS)
        )
        tables.write(
            storage.join(self.directory, layout.index(self.part)),
            tables.from_rows(self.rows, tables.INDEX),
            {"shards": msgspec.json.encode(self._shards).decode()},
        )

    def _shard_for(self, size: int) -> "_Shard":
        if self._shard is not None and self._shard.size + size + len(tar.END) > self.shard_bytes:
            self._close_shard()
        if self._shard is None:
            name = layout.shard(self.part, len(self._shards))
            file = storage.AtomicFile(storage.join(self.directory, name))
            self._shard = _Shard(file, name, len(self._shards))
        return self._shard

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shards.append(self._shard.close())
            self._shard = None


class _Shard:
    """One tar file being written, with its digest; members are collected, so that system calls are few."""

    def __init__(self, file: storage.AtomicFile, name: str, number: int) -> None:
        self.name, self.number, self.size = name, number, 0
        self._file, self._hash = file, xxhash.xxh3_128()
        self._chunks: list[bytes | memoryview] = []
        self._collected = 0

    def write(self, name: str, data: bytes | memoryview) -> int:
        """Append a member; returns the offset of its data."""
        start = self.size + tar.BLOCK
        size = len(data)
        self._append((tar.header(name, size), data, bytes(-size % tar.BLOCK)), start + tar.padded(size))
        return start

    def close(self) -> dict[str, Any]:
        """Make the shard appear under its name."""
        self._append((tar.END,), self.size + len(tar.END))
        self._store()
        self._file.commit()
        return {"name": self.name, "size": self.size, "xxh3": self._hash.hexdigest()}

    def discard(self) -> None:
        """Forget the shard."""
        self._file.discard()

    def _append(self, chunks: Sequence[bytes | memoryview], end: int) -> None:
        self._chunks += chunks
        self._collected += end - self.size
        self.size = end
        if self._collected >= _CHUNK:
            self._store()

    def _store(self) -> None:
        self._file.write_all(self._chunks)
        for chunk in self._chunks:
            self._hash.update(chunk)
        self._chunks, self._collected = [], 0


def describe(sample: Sample) -> dict[str, Any]:
    """The index columns that follow from the sample alone."""
    commercial, redistribute = licenses.combine(
        [sample.license, *[image.license for image in sample.images if image.license is not None]]
    )
    turns = said = supervised = 0
    for message in sample.messages:
        characters = sum([len(part.text) for part in message.content if type(part) is TextPart])
        said += characters
        if message.role == "assistant":
            turns += 1
            supervised += characters if message.supervise else 0
    return {
        "id": sample.id,
        "source": sample.source,
        "domain": sample.domain,
        "task": sample.task,
        "language": sample.language,
        "split": sample.split,
        "license": sample.license,
        "commercial": commercial,
        "redistribute": redistribute,
        "num_images": len(sample.images),
        "num_turns": turns,
        "num_regions": len(sample.regions),
        "num_chars": said,
        "num_target_chars": supervised,
    }


def _check(sample: Sample, media: tuple[bytes, ...], validated: bool) -> None:
    if len(media) != len(sample.images):
        raise InvalidSample(f"sample {sample.id!r}: {len(sample.images)} images are described, {len(media)} were given")
    found = problems(sample, validated)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InvalidSample(f"sample {sample.id!r}: {found[0].field} {found[0].message}{more}")


class DatasetWriter:
    """A dataset from samples at hand, in one process; the command line's builders plan, resume and spread work instead.

    >>> with DatasetWriter("out", name="mine") as dataset:
    ...     dataset.add(sample, [open("cat.jpg", "rb").read()])
    """

    def __init__(self, directory: str, name: str, parameters: dict[str, Any] | None = None) -> None:
        """Raises UsageError when `directory` is not empty."""
        if storage.exists(directory) and next(storage.list_files(directory), None):
            raise UsageError(f"{directory}: is not empty; name an empty folder for a new dataset")
        self.directory, self.name, self.parameters = directory, name, parameters or {}
        self._number = 0
        self._part = PartWriter(directory, 0)

    def add(self, sample: Sample, media: Sequence[bytes] = ()) -> None:
        """Append a sample with the encoded bytes of its images. Raises InvalidSample naming id and field."""
        self._part.add(Built(sample, tuple(media)))
        if len(self._part.rows) == _PART_ROWS:
            self._next_part()

    def reject(self, reject: Reject) -> None:
        """Append a reject."""
        self._part.reject(reject)

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._next_part()
            description.complete(
                self.directory, name=self.name, builder="writer", parameters=self.parameters, parts=self._number
            )
        self._part.__exit__()

    def _next_part(self) -> None:
        self._part.commit()
        self._number += 1
        self._part = PartWriter(self.directory, self._number)
