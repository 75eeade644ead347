import io
import tarfile
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from samples import picture_sample, png, text_sample

from sphinx_data import DatasetWriter, open_dataset, storage
from sphinx_data.dataset import layout, tables, tar
from sphinx_data.dataset.writer import PartWriter
from sphinx_data.errors import InputError, InvalidSample, UsageError
from sphinx_data.sample import Built, Reject, encode


def test_samples_come_back_in_order_by_row_and_by_id(make_dataset):
    dataset = open_dataset(make_dataset("a", pictures=30, texts=10))
    assert len(dataset) == 40
    for number, example in enumerate(dataset):
        assert example.sample == (picture_sample if number < 30 else text_sample)("a", number)
    assert dataset[-1].sample.id == "a/39"
    assert dataset.read("a/7").images[0] == png((7, 0, 97))
    assert dataset.read("a/7").image(0).getpixel((0, 0)) == (7, 0, 97)
    assert dataset.sample(12) == dataset[12].sample
    with pytest.raises(KeyError, match="no sample has the id"):
        dataset.read("a/40")
    with pytest.raises(IndexError):
        dataset[40]


def test_many_threads_read_the_same_samples(make_dataset):
    dataset = open_dataset(make_dataset("a", pictures=200))
    dataset._files._limit = 1  # files are closed under the readers' hands
    rows = [number * 7919 % 205 for number in range(4000)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: dataset[row].sample.id, rows))
    assert found == [f"a/{row}" for row in rows]
    assert [example.sample.id for example in dataset.iterate(rows[:500], threads=4)] == found[:500]


@pytest.mark.parametrize("name", ["a.b.c/d.e", "x" * 300, "日本/語 ü", "..", "-"])
def test_ids_of_any_kind_and_the_same_sample_twice(tmp_path, name):
    sample = msgspec.structs.replace(picture_sample("a", 0), id=name)
    with DatasetWriter(str(tmp_path / "d"), "d") as writer:
        writer.add(sample, [png((1, 2, 3))])
        writer.add(sample, [png((1, 2, 3))])
    dataset = open_dataset(str(tmp_path / "d"))
    assert [example.sample.id for example in dataset] == [name, name]
    assert dataset.row_of(name) == 0


def test_one_read_at_the_indexed_place_is_the_whole_sample(make_dataset):
    place = make_dataset("a", pictures=5)
    index = tables.read(f"{place}/index/000000.parquet").to_pylist()
    shard = (storage.local(place) / "shards/000000-00.tar").read_bytes()
    for row, entry in enumerate(index):
        piece = shard[entry["offset"] : entry["offset"] + entry["size"]]
        with tarfile.open(fileobj=io.BytesIO(piece)) as archive:
            names = archive.getnames()
            assert names[0] == f"{layout.key(0, row)}.json"
            assert archive.extractfile(names[0]).read() == piece[512 : 512 + entry["json_size"]]
        for image in entry["images"]:
            assert shard[image["offset"] : image["offset"] + image["size"]].startswith(b"\x89PNG")


def test_a_shard_is_plain_ustar_that_tarfile_would_write(make_dataset):
    path = storage.local(make_dataset("a", pictures=3)) / "shards/000000-00.tar"
    with tarfile.open(path) as archive:
        for member in archive:
            assert member.mtime == 0
            assert member.pax_headers == {}
            info = tarfile.TarInfo(member.name)
            info.size = member.size
            assert tar.header(member.name, member.size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_shards_are_closed_before_they_grow_too_large(tmp_path):
    with PartWriter(str(tmp_path), 3, shard_bytes=20_000) as part:
        for number in range(40):
            part.add(Built(picture_sample("a", number), (png((number, 0, 0)),)))
        part.commit()
    shards = sorted(path.name for path in (tmp_path / "shards").iterdir())
    assert shards[:2] == ["000003-00.tar", "000003-01.tar"]
    assert all(path.stat().st_size <= 20_000 for path in (tmp_path / "shards").iterdir())
    assert [row["shard"] for row in part.rows] == sorted(row["shard"] for row in part.rows)


def test_a_part_without_samples_has_an_empty_index_and_no_shard(tmp_path):
    with PartWriter(str(tmp_path), 0) as part:
        part.reject(Reject(input="x.json", level="file", rule="broken", detail="It is cut."))
        part.commit()
    assert len(tables.read(str(tmp_path / "index/000000.parquet"))) == 0
    assert not (tmp_path / "shards").exists()
    assert tables.read(str(tmp_path / "rejects/000000.parquet")).to_pylist()[0]["rule"] == "broken"


def test_an_uncommitted_part_leaves_nothing(tmp_path):
    with PartWriter(str(tmp_path), 0) as part:
        part.add(Built(text_sample("a", 1)))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


BAD = [
    (lambda s: msgspec.structs.replace(s, id=""), r"id is empty"),
    (lambda s: msgspec.structs.replace(s, messages=s.messages[:1]), r"no assistant turn"),
    (lambda s: msgspec.structs.replace(s, images=()), r"0 images are described, 1 were given"),
    (lambda s: region(s, box=(0, 0, 13, 8)), r"regions\[0\].box .*outside the 12x8 image"),
    (lambda s: region(s, box=(5, 0, 1, 8)), r"x1 < x0"),
    (lambda s: region(s, box=(float("nan"), 0, 1, 8)), r"regions\[0\].box .*outside"),
    (lambda s: region(s, image=1), r"regions\[0\].image 1 does not exist"),
    (lambda s: region(s, polygon=((0.0, 1.0),)), r"polygon a ring has 2 numbers"),
    (lambda s: part(s, regions=(1,)), r"messages\[1\].content\[1\] region 1 does not exist"),
    (lambda s: part(s, form="mark"), r"form 'mark' needs regions\[0\].mark"),
    (lambda s: msgspec.structs.replace(s, task="chess"), r"Invalid enum value 'chess'.*task"),
    (lambda s: msgspec.structs.replace(s, language="\ud800"), r"sample 'a/0'.*surrogates"),
]


def region(sample, **changes):
    return msgspec.structs.replace(sample, regions=(msgspec.structs.replace(sample.regions[0], **changes),))


def part(sample, **changes):
    text, reference = sample.messages[1].content
    answer = msgspec.structs.replace(sample.messages[1], content=(text, msgspec.structs.replace(reference, **changes)))
    return msgspec.structs.replace(sample, messages=(sample.messages[0], answer))


@pytest.mark.parametrize(("spoil", "message"), BAD, ids=[message for _, message in BAD])
def test_a_sample_that_breaks_the_schema_is_refused_with_id_and_field(tmp_path, spoil, message):
    with PartWriter(str(tmp_path), 0) as writer, pytest.raises(InvalidSample, match=message):
        writer.add(Built(spoil(picture_sample("a", 0)), (png((0, 0, 0)),)))
    assert writer.rows == []


def test_index_columns_follow_from_the_sample(make_dataset):
    table = open_dataset(make_dataset("a", pictures=1, texts=1)).table().to_pylist()
    picture, text = table
    assert (picture["num_images"], picture["num_turns"], picture["num_regions"]) == (1, 1, 1)
    assert picture["num_chars"] == len("What colour is it?") + len("red ")
    assert picture["num_target_chars"] == len("red ")
    assert (picture["license"], picture["commercial"], picture["redistribute"]) == ("MIT", True, True)
    assert (text["domain"], text["task"], text["images"]) == ("language", "text", [])


def test_the_fingerprint_is_of_content_and_order_alone(make_dataset, tmp_path):
    first = open_dataset(make_dataset("a"))
    elsewhere = open_dataset(make_dataset("a", at=tmp_path / "far/away"))
    assert first.fingerprint == elsewhere.fingerprint
    with DatasetWriter(str(tmp_path / "reversed"), "other name") as writer:
        for row in reversed(range(len(first))):
            writer.add(first[row].sample, [bytes(image) for image in first[row].images])
    assert open_dataset(str(tmp_path / "reversed")).fingerprint != first.fingerprint


def test_golden_bytes(tmp_path):
    """A change here breaks: shard bytes, sample JSON, content hashes, fingerprints."""
    picture = b"\x89PNG not decoded here"
    with DatasetWriter(str(tmp_path / "g"), "golden") as writer:
        writer.add(picture_sample("golden", 0), [picture])
        writer.add(text_sample("golden", 1))
    shard = (tmp_path / "g/shards/000000-00.tar").read_bytes()
    assert encode(text_sample("golden", 1)) == (
        b'{"id":"golden/1","source":"golden","license":"CC0-1.0","domain":"language","task":"text","language":"en",'
        b'"split":"train","messages":[{"role":"assistant","content":[{"type":"text","text":"A page of text. 1"}]}],'
        b'"origin":{"file":"made.txt","record":"1"}}'
    )
    assert tables.digest(shard) == "682e8b054482cc7995d46c5b02626108"
    dataset = open_dataset(str(tmp_path / "g"))
    assert [row.hex() for row in dataset.table()["content"].to_pylist()] == [
        "8901773847dc40d6905ab3697296471a",
        "bf38fcd676e75f1f2462dbe8a1660e38",
    ]
    assert dataset.fingerprint == "446dba9753499c32377a42eccad40f23"


def test_missing_incomplete_and_foreign_datasets_are_refused(tmp_path, make_dataset):
    with pytest.raises(InputError, match=r"is not a dataset directory"):
        open_dataset(str(tmp_path / "nothing"))
    place = storage.local(make_dataset("a"))
    description = (place / "dataset.json").read_text()
    (place / "dataset.json").write_text(description.replace("sphinx-dataset/1", "sphinx-dataset/9"))
    with pytest.raises(InputError, match="format is 'sphinx-dataset/9', this version reads 'sphinx-dataset/1'"):
        open_dataset(str(place))
    (place / "dataset.json").rename(place / "plan.json")
    with pytest.raises(InputError, match="is not complete; run the command that builds it again"):
        open_dataset(str(place))
    with pytest.raises(UsageError, match="is not empty"):
        DatasetWriter(str(place), "again")


def test_a_cut_shard_is_named_when_it_is_read(make_dataset):
    place = storage.local(make_dataset("a"))
    shard = place / "shards/000000-00.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    dataset = open_dataset(str(place))
    assert dataset[0].sample.id == "a/0"
    with pytest.raises(InputError, match=r"000000-00.tar: has 5000 bytes, the index needs .*run sphinx-data verify"):
        dataset[20]
