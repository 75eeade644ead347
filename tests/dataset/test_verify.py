import msgspec
import pyarrow as pa
import pytest

from sphinx_data import open_dataset, storage
from sphinx_data.dataset import columns, tables
from sphinx_data.dataset.verify import verify
from sphinx_data.errors import InputError


def findings(place) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in verify(open_dataset(str(place))):
        found.setdefault(finding.rule, []).append(f"{finding.file}: {finding.detail}")
    return found


@pytest.fixture
def place(make_dataset):
    return storage.local(make_dataset("a", pictures=20, texts=5))


def flip(path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def test_an_untouched_dataset_has_no_findings(place):
    assert findings(place) == {}


def test_a_flipped_bit_anywhere_in_a_shard_is_found(place):
    shard = place / "shards/000000-00.tar"
    size = shard.stat().st_size
    for position in range(0, size, size // 97):
        flip(shard, position)
        found = findings(place)
        assert found["bytes-differ"], position
        flip(shard, position)
    assert findings(place) == {}


def test_a_flipped_bit_names_the_sample_and_the_image(place):
    index = tables.read(str(place / "index/000000.parquet")).to_pylist()
    flip(place / "shards/000000-00.tar", index[3]["images"][0]["offset"] + 20)
    found = findings(place)
    assert found["image-differs"] == ["shards/000000-00.tar: a/3: image 0 is not the one that was written"]
    flip(place / "shards/000000-00.tar", index[4]["offset"] + 512 + 20)
    assert any("a/4" in line for line in findings(place)["content-differs"])


@pytest.mark.parametrize("name", ["index/000000.parquet", "rejects/000000.parquet"])
def test_a_flipped_bit_anywhere_in_a_table_is_found(place, name):
    size = (place / name).stat().st_size
    for position in range(0, size, size // 29):
        flip(place / name, position)
        assert findings(place)["bytes-differ"], position
        flip(place / name, position)


def test_a_cut_shard_a_missing_shard_and_a_grown_shard(place):
    shard = place / "shards/000000-00.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    found = findings(place)
    assert found["size-differs"]
    assert any("a/24: needs byte" in line for line in found["sample-cut"])
    shard.write_bytes(whole + bytes(512))
    assert findings(place)["size-differs"]
    shard.unlink()
    assert findings(place)["file-missing"]


def test_a_missing_member_is_found(place):
    shard = place / "shards/000000-00.tar"
    entry = tables.read(str(place / "index/000000.parquet")).to_pylist()[2]
    data = bytearray(shard.read_bytes())
    header = entry["images"][0]["offset"] - 512
    data[header : header + 512] = bytes(512)
    shard.write_bytes(data)
    assert any("000000000002.0.png" in line for line in findings(place)["member-missing"])


def test_an_index_that_disagrees_with_its_shards_is_found_even_when_its_own_hash_is_right(place):
    table = tables.read(str(place / "index/000000.parquet"))
    metadata = tables.metadata(str(place / "index/000000.parquet"))
    wrong = table.set_column(
        table.column_names.index("num_regions"), "num_regions", pa.array([7] * len(table), pa.uint32())
    )
    digest = tables.write(str(place / "index/000000.parquet"), wrong, {"shards": metadata["shards"]})
    description = msgspec.json.decode((place / "dataset.json").read_bytes())
    stored = description["parts"][0]["tables"][0]
    stored |= {"xxh3": digest, "size": (place / "index/000000.parquet").stat().st_size}
    (place / "dataset.json").write_bytes(msgspec.json.encode(description))
    assert any("num_regions = 7" in line for line in findings(place)["index-disagrees"])


def test_a_fingerprint_that_is_not_of_these_samples_is_found(place):
    text = (place / "dataset.json").read_text()
    fingerprint = open_dataset(str(place)).fingerprint
    (place / "dataset.json").write_text(text.replace(fingerprint, "0" * 32))
    assert "fingerprint-differs" in findings(place)


def test_columns_are_row_aligned_checked_and_bound_to_their_dataset(place, make_dataset):
    dataset = open_dataset(str(place))
    table = pa.table({"score": pa.array(range(25), pa.int32())})
    columns.write(dataset, "blur", table, {"window": 3})
    assert columns.names(dataset) == ["blur"]
    assert columns.read(dataset, "blur")["score"].to_pylist() == list(range(25))
    assert findings(place) == {}
    with pytest.raises(ValueError, match="has 3 rows"):
        columns.write(dataset, "short", table.slice(0, 3), {})

    flip(place / "columns/blur/000000.parquet", 60)
    assert findings(place)["column-disagrees"]
    flip(place / "columns/blur/000000.parquet", 60)

    other = open_dataset(make_dataset("b"))
    with pytest.raises(InputError, match=r"blur.json: was made for a dataset with fingerprint"):
        columns.read(other, "blur", str(place / "columns"))


def test_a_virtual_dataset_is_verified_against_its_sources(make_dataset, tmp_path):
    from sphinx_data.mix import build, recipe

    make_dataset("a")
    make_dataset("b")
    made = recipe.check({"name": "m", "sources": [{"dataset": "a"}, {"dataset": "b"}], "holdout": 0.2}, "r.yaml")
    build.build(made, str(tmp_path / "m"), {"": str(tmp_path)}, "r.yaml")
    assert findings(tmp_path / "m") == {}
    assert findings(tmp_path / "m/holdout") == {}
    flip(tmp_path / "m/rows/000000.parquet", 40)
    assert findings(tmp_path / "m")["bytes-differ"]


def test_a_description_that_miscounts_is_found(place):
    said = msgspec.json.decode((place / "dataset.json").read_bytes())
    for change in ({"images": 21}, {"rejects": 1}, {"counts": said["counts"] | {"domain": {"vision": 25}}}):
        (place / "dataset.json").write_bytes(msgspec.json.encode(said | change))
        assert findings(place)["description-disagrees"] == [
            f"dataset.json: its {next(iter(change))} are not those of the tables"
        ]


def test_files_between_the_parts_that_nobody_named_are_found(place):
    for name in ("shards/000009-00.tar", "index/000009.parquet", "rejects/x"):
        (place / name).write_bytes(b"x")
        assert findings(place) == {"file-unknown": [f"{name}: dataset.json does not name it"]}
        (place / name).unlink()


def test_a_plan_that_is_damaged_or_of_another_build_is_found(place):
    said = msgspec.json.decode((place / "dataset.json").read_bytes())
    plan = {key: said[key] for key in ("builder", "name", "parameters")}
    (place / "plan.json").write_bytes(msgspec.json.encode(plan))
    assert findings(place) == {}
    (place / "plan.json").write_bytes(msgspec.json.encode(plan)[:-3])
    assert "plan-damaged" in findings(place)
    (place / "plan.json").write_bytes(msgspec.json.encode(plan | {"parameters": {"seed": 9}}))
    assert "plan-disagrees" in findings(place)


def test_a_mix_is_verified_with_its_lock_and_holdout(make_dataset, tmp_path):
    from click.testing import CliRunner

    from sphinx_data.cli.verify import command
    from sphinx_data.mix import build, recipe

    make_dataset("a", pictures=40)
    made = recipe.check({"name": "m", "sources": [{"dataset": "a"}], "holdout": 0.3}, "r.yaml")
    build.build(made, str(tmp_path / "m"), {"": str(tmp_path)}, "r.yaml")

    def rules() -> set[str]:
        done = CliRunner().invoke(command, [str(tmp_path / "m"), "--json"], standalone_mode=False)
        return {msgspec.json.decode(line)["rule"] for line in done.stdout.splitlines() if line.startswith("{")}

    assert rules() == set()
    for name, found in (
        ("mix.lock.json", "lock-damaged"),
        ("holdout/dataset.json", "file-missing"),
        ("holdout/rows/000000.parquet", "size-differs"),
    ):
        path = tmp_path / "m" / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert found in rules(), name
        path.write_bytes(whole)
    assert rules() == set()


def test_bytes_that_are_not_utf8_are_damage_not_an_internal_error(place):
    description, plan = place / "dataset.json", place / "plan.json"
    plan.write_bytes(b'{"builder": "\xe9"}')
    assert "plan-damaged" in findings(place)
    plan.unlink()
    description.write_bytes(description.read_bytes().replace(b'"name"', b'"n\xe9me"', 1))
    with pytest.raises(InputError, match=r"dataset.json: damaged"):
        open_dataset(str(place))
