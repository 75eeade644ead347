"""Does a dataset hold what it says? Finds flipped bits, cut shards, missing members and tables that disagree."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from sphinx_data import storage
from sphinx_data.dataset import columns, layout, tables, tar, writer
from sphinx_data.dataset.description import PartInfo, Stored, describe, fingerprint, hash_array
from sphinx_data.dataset.reader import Dataset, content_hash
from sphinx_data.errors import InputError, InvalidSample
from sphinx_data.sample import Struct, decode, problems


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is not as it was written."""

    file: str  # relative to the dataset directory
    rule: str
    detail: str


def verify(dataset: Dataset) -> Iterator[Finding]:
    """Check every byte of a dataset against its own description; yields nothing when all is well.

    Of a virtual dataset the rows and their fingerprint are checked; its sources are datasets to verify by themselves.
    """
    description = dataset.description
    contents: list[NDArray[np.uint8]] = []
    complete = True
    shards = {shard.name: shard for shard in description.shards}
    for part in description.parts:
        damaged = list(_tables(dataset, part))
        yield from damaged
        if damaged:
            complete = False
            continue
        if description.virtual:
            yield from _rows(dataset, part)
        else:
            table = tables.read(storage.join(dataset.directory, layout.index(part.part)))
            contents.append(hash_array(table["content"]))
            yield from _part(dataset, part, table, shards)
    if description.virtual and complete:
        contents = [hash_array(dataset.table(["content"])["content"])]
    if complete and fingerprint(contents) != description.fingerprint:
        detail = "the fingerprint of the samples is not the one in dataset.json"
        yield Finding(file=layout.DESCRIPTION, rule="fingerprint-differs", detail=detail)
    if complete and not description.virtual:
        yield from _description(dataset)
    yield from _plan(dataset)
    yield from _unknown(dataset)
    for name in columns.names(dataset):
        yield from (
            Finding(file=file, rule="column-disagrees", detail=detail) for file, detail in columns.check(dataset, name)
        )


def _description(dataset: Dataset) -> Iterator[Finding]:
    """Whether ``dataset.json`` counts what the tables hold."""
    said = dataset.description
    found = describe(
        dataset.directory, name=said.name, builder=said.builder, parameters=said.parameters, parts=len(said.parts)
    )
    for field in said.__struct_fields__:
        if field != "fingerprint" and getattr(said, field) != getattr(found, field):
            detail = f"its {field} are not those of the tables"
            yield Finding(file=layout.DESCRIPTION, rule="description-disagrees", detail=detail)


def _plan(dataset: Dataset) -> Iterator[Finding]:
    """Whether ``plan.json``, where there is one, can be read and is of the same build."""
    place = storage.join(dataset.directory, layout.PLAN)
    if not storage.exists(place):
        return
    try:
        plan = msgspec.json.decode(storage.read_bytes(place), type=dict[str, Any])
    except (InputError, msgspec.MsgspecError, UnicodeError) as error:
        yield Finding(file=layout.PLAN, rule="plan-damaged", detail=str(error))
        return
    said = dataset.description
    shared = ("builder",) if said.virtual else ("builder", "name", "parameters")
    for field in shared:
        if plan.get(field) != getattr(said, field):
            detail = f"its {field} is {plan.get(field)!r}, dataset.json says {getattr(said, field)!r}"
            yield Finding(file=layout.PLAN, rule="plan-disagrees", detail=detail)


def _unknown(dataset: Dataset) -> Iterator[Finding]:
    """Files between the parts that ``dataset.json`` does not name: other builds', or whoever put them there."""
    said = dataset.description
    known = {stored.name for part in said.parts for stored in part.tables} | {shard.name for shard in said.shards}
    for folder in ("shards", "index", "rejects", "rows"):
        place = storage.join(dataset.directory, folder)
        if not storage.exists(place):
            continue
        for name, _ in storage.list_files(place):
            if f"{folder}/{name}" not in known:
                yield Finding(file=f"{folder}/{name}", rule="file-unknown", detail="dataset.json does not name it")


def _tables(dataset: Dataset, part: PartInfo) -> Iterator[Finding]:
    for stored in part.tables:
        yield from _file(dataset.directory, stored)


def _file(directory: str, stored: Stored) -> Iterator[Finding]:
    try:
        data = storage.view(storage.join(directory, stored.name))
    except InputError as error:
        yield Finding(file=stored.name, rule="file-missing", detail=str(error))
        return
    if len(data) != stored.size:
        detail = f"has {len(data)} bytes, dataset.json says {stored.size}"
        yield Finding(file=stored.name, rule="size-differs", detail=detail)
    elif tables.digest(data) != stored.xxh3:
        yield Finding(file=stored.name, rule="bytes-differ", detail="its hash is not the one in dataset.json")


def _rows(dataset: Dataset, part: PartInfo) -> Iterator[Finding]:
    name = layout.rows(part.part)
    table = tables.read(storage.join(dataset.directory, name))
    lengths = np.array([len(source) for source in dataset.sources])
    wanted, row = table["dataset"].to_numpy(), table["row"].to_numpy()
    if len(wanted) != part.rows or (wanted >= len(lengths)).any() or (row >= lengths[wanted]).any():
        yield Finding(file=name, rule="rows-disagree", detail="a row points outside its source dataset")


def _part(dataset: Dataset, part: PartInfo, table: pa.Table, shards: dict[str, Stored]) -> Iterator[Finding]:
    if len(table) != part.rows:
        detail = f"has {len(table)} rows, dataset.json says {part.rows}"
        yield Finding(file=layout.index(part.part), rule="index-disagrees", detail=detail)
    for number in sorted(set(table["shard"].to_pylist())):
        name = layout.shard(part.part, number)
        if name not in shards:
            yield Finding(file=name, rule="shard-unknown", detail="the index names it, dataset.json does not")
            continue
        whole = list(_file(dataset.directory, shards[name]))
        yield from whole
        if any(finding.rule == "file-missing" for finding in whole):
            continue
        data = storage.view(storage.join(dataset.directory, name))
        rows = pc.filter(table, pc.equal(table["shard"], number)).to_pylist()
        first = pc.index(table["shard"], number).as_py()
        end = 0
        for row, entry in enumerate(rows, first):
            yield from _sample(name, layout.key(part.part, row), entry, data)
            if entry["offset"] != end:
                detail = f"{entry['id']}: starts at {entry['offset']}, the sample before it ends at {end}"
                yield Finding(file=name, rule="index-disagrees", detail=detail)
            end = entry["offset"] + entry["size"]
        if not whole and data[end:] != tar.END:
            yield Finding(file=name, rule="shard-disagrees", detail=f"holds more than the index knows after byte {end}")


def _sample(shard: str, key: str, entry: dict[str, Any], data: memoryview) -> Iterator[Finding]:
    def finding(rule: str, detail: str) -> Finding:
        return Finding(file=shard, rule=rule, detail=f"{entry['id']}: {detail}")

    if entry["offset"] + entry["size"] > len(data):
        yield finding("sample-cut", f"needs byte {entry['offset'] + entry['size']}, the shard ends at {len(data)}")
        return
    start = entry["offset"] + tar.BLOCK
    json = data[start : start + entry["json_size"]]
    members = [(f"{key}.json", start, entry["json_size"])]
    members += [(f"{key}.{n}.{i['format']}", i["offset"], i["size"]) for n, i in enumerate(entry["images"])]
    for name, place, size in members:
        if data[place - tar.BLOCK : place] != tar.header(name, size):
            yield finding("member-missing", f"the header of {name} is not at byte {place - tar.BLOCK}")
    hashes = [xxhash.xxh3_128_digest(data[i["offset"] : i["offset"] + i["size"]]) for i in entry["images"]]
    for number, (found, image) in enumerate(zip(hashes, entry["images"], strict=True)):
        if found != image["xxh3"]:
            yield finding("image-differs", f"image {number} is not the one that was written")
    if content_hash(json, hashes) != entry["content"]:
        yield finding("content-differs", "its bytes are not the ones that were written")
        return
    try:
        sample = decode(json)
    except InvalidSample as error:
        yield finding("sample-invalid", str(error))
        return
    for problem in problems(sample):
        yield finding("sample-invalid", f"{problem.field} {problem.message}")
    for name, value in writer.describe(sample).items():
        if entry[name] != value:
            yield finding("index-disagrees", f"the index says {name} = {entry[name]!r}, the sample {value!r}")
    for number, (image, row) in enumerate(zip(sample.images, entry["images"], strict=False)):
        if (image.width, image.height) != (row["width"], row["height"]):
            yield finding("index-disagrees", f"the index says image {number} is {row['width']}x{row['height']}")
