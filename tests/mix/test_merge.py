"""merge_by: image: turns about one picture from several sources become one sample."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import msgspec
import pytest
from PIL import Image as Pictures
from samples import png

from sphinx_data import DatasetWriter, cli, licenses, open_dataset
from sphinx_data.dataset.verify import verify
from sphinx_data.dialects import Geometry, dialect
from sphinx_data.mix import merge
from sphinx_data.sample import Image, ImagePart, Message, Origin, Region, RegionPart, Sample, TextPart

PICTURE = ImagePart(image=0)


def text(value):
    return TextPart(text=value)


def user(*parts):
    return Message(role="user", content=parts)


def answer(*parts):
    return Message(role="assistant", content=parts)


def system(value):
    return Message(role="system", content=(text(value),))


def dialogue(name, number, *messages, **fields):
    known = {
        "source": name,
        "license": "MIT", "domain": "vision-language", "task": "vqa", "language": "en", "split": "train",
        "images": (Image(file="0.png", width=60, height=40),), "meta": {"kept": False},
        "origin": Origin(file="made.json", record=str(number)),
    }  # fmt: skip
    return Sample(id=f"{name}/{number}", messages=messages, **(known | fields))


def vqa(number):
    return dialogue("vqa", number, user(PICTURE, text("What is it?")), answer(text(f"thing {number}")))


def boxes(number):
    x = float(number % 30)
    regions = (Region(box=(x, 1, x + 9, 8)), Region(box=(x + 3, 5, x + 20, 30.5), label="cat"))
    where = RegionPart(regions=(1,), form="box", text="cat")
    return dialogue(
        "boxes", number, user(text("Where in "), PICTURE, text(" is the cat?")), answer(where),
        user(text("And the other?")), answer(RegionPart(regions=(0, 1), form="box")),
        task="rec", license="CC-BY-NC-4.0", regions=regions,
    )  # fmt: skip


def caption(number):
    return dialogue("captions", number, user(PICTURE), answer(text("A caption.")), task="caption", language=None)


def page(number):
    return dialogue("pages", number, answer(PICTURE, text("A document.")), task="page-reading", domain="ocr")


@pytest.fixture
def data(tmp_path):
    """Four sources; pictures of a number are equal in all of them, boxes has two samples about each."""
    for name, make, pictures in [
        ("vqa", vqa, range(300)), ("boxes", boxes, [n // 2 for n in range(100, 600)]), ("captions", caption, range(80)),
        ("pages", page, range(40)),
    ]:  # fmt: skip
        with DatasetWriter(str(tmp_path / name), name) as writer:
            for number, picture in enumerate(pictures):
                writer.add(make(number), [png((picture % 256, picture // 256, 7), 60, 40)])
    return tmp_path


RECIPE = """
name: m
merge_by: image
order: {order}
sources: [{{dataset: vqa, epochs: {epochs}}}, {{dataset: boxes}}, {{dataset: captions}}, {{dataset: pages}}]
"""


def arguments(data, out, *more, order="shuffled", epochs=1):
    recipe = data / f"{order}-{epochs}.yaml"
    recipe.write_text(RECIPE.format(order=order, epochs=epochs))
    return [str(word) for word in
            ("mix", recipe, "--root", data, "--out", out / "mix", "--materialise", out / "shards", *more)]  # fmt: skip


def mixed(data, out, *more, **fields):
    cli.group.main(arguments(data, out, *more, **fields), standalone_mode=False)
    return open_dataset(str(out / "mix")), open_dataset(str(out / "shards"))


def ids(dataset):
    """Ids that went into every sample, in order."""
    found = (example.sample for example in dataset)
    return [sample.meta.get("merged", [sample.id]) if "kept" not in sample.meta else [sample.id] for sample in found]


def rendered(sample):
    """Each answer as a model of the SPHINX family reads it."""
    geometry = [Geometry.padded(image.width, image.height) for image in sample.images]

    def words(part):
        return part.text if isinstance(part, TextPart) else dialect("sphinx").render(part, sample.regions, geometry)

    return ["".join(map(words, turn.content)) for turn in sample.messages if turn.role == "assistant"]


def test_turns_about_one_picture_become_one_sample(data, tmp_path, capfd):
    mix, made = mixed(data, tmp_path / "o", "--json", order="none")
    [line] = capfd.readouterr().out.splitlines()
    summary = json.loads(line)["materialised"]
    # pictures 50..299 have a vqa, two boxes, and up to 79 a caption; captions ask nothing but the picture, so that
    # those behind another sample stay; pages are documents
    assert summary["merge"] == made.description.parameters["merge"] == {
        "before": 920, "after": 420, "merged": 750, "not_dialogues": 40, "different": 0, "nothing_left": 80
    }  # fmt: skip
    assert summary["samples"] == len(made) == 420
    assert made.fingerprint != mix.fingerprint
    assert list(verify(made)) == []
    sample = made[60].sample
    first, second, third = vqa(60), boxes(20), boxes(21)
    assert sample.meta == {"merged": ["vqa/60", "boxes/20", "boxes/21"]}
    assert (sample.id, sample.source, sample.task) == ("vqa/60", "boxes+vqa", "multi-task")
    assert (sample.license, sample.language) == ("CC-BY-NC-4.0 AND MIT", "en")
    assert made.table(["commercial"])["commercial"][60].as_py() is False
    assert len(sample.images) == 1
    assert bytes(made[60].images[0]) == bytes(mix[60].images[0])
    assert sample.messages[:2] == first.messages
    assert sample.messages[2] == user(text("Where in "), text(" is the cat?"))
    assert rendered(sample) == [words for one in (first, second, third) for words in rendered(one)]


@pytest.mark.parametrize("order", ["shuffled", "none", "windowed"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_no_sample_is_lost_and_others_stay_as_they_are(data, tmp_path, order, epochs):
    mix, made = mixed(data, tmp_path / "o", order=order, epochs=epochs)
    before, after = ids(mix), ids(made)
    assert Counter(i for [i] in before) == Counter(i for group in after for i in group)
    assert after == merged_one_by_one(mix)
    stored = Counter(bytes(example.json) for example in mix)
    for example, group in zip(made, after, strict=True):
        assert len(group) > 1 or stored[bytes(example.json)]
        assert len(set(group)) == len(group)  # repeats are samples of their own
    assert sum({"vqa/99", "boxes/98", "boxes/99"} == set(group) for group in after) == 1
    assert sum("vqa/99" in group for group in after) == epochs


def merged_one_by_one(mix):
    """Ids of every sample of the shards, found by plain dictionaries."""
    seen, groups = Counter(), {}
    for position, example in enumerate(mix):
        seen[bytes(example.json)] += 1
        found = merge.head(example.sample)
        key = (bytes(example.images[0]), seen[bytes(example.json)], found and found.key)
        if found is None or (found.hollow and key in groups):
            key = position
        groups.setdefault(key, []).append(example.sample.id)
    return list(groups.values())


def files(place):
    return {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_in_two_steps_by_any_number_of_workers_and_in_shares_the_bytes_are_the_same(data, tmp_path):
    mixed(data, tmp_path / "a", "--workers", 1)
    expected = files(tmp_path / "a")
    mixed(data, tmp_path / "b", "--workers", 2)
    assert files(tmp_path / "b") == expected
    again = tmp_path / "c"
    again.mkdir()
    os.rename(tmp_path / "b/mix", again / "mix")
    cli.group.main(["materialise", str(again / "mix"), "--out", str(again / "shards"), "--root", str(data)],
                   standalone_mode=False)  # fmt: skip
    assert files(again) == expected
    for share in ("1/2", "0/2"):
        cli.group.main(arguments(data, tmp_path / "d", "--partition", share), standalone_mode=False)
    assert files(tmp_path / "d") == expected


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(data, tmp_path):
    mixed(data, tmp_path / "a")
    code = "import sys; sys.argv[0] = 'sphinx-data'; from sphinx_data.cli import main; main()"
    words = [sys.executable, "-c", code, *arguments(data, tmp_path / "b", "--workers", "2")]
    done, runs = tmp_path / "b/shards/dataset.json", 0
    while not done.exists():
        runs += 1
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 0.3 * runs
        watched = tmp_path / ("b/mix/rows" if runs == 1 else "b/mix/dataset.json" if runs == 2 else "b/shards/index")
        while process.poll() is None and not (watched.exists() and time.monotonic() > until and runs < 5):
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
    assert files(tmp_path / "b") == files(tmp_path / "a")


def test_smaller_pictures_of_merged_samples_take_all_regions_along(data, tmp_path):
    _, made = mixed(data, tmp_path / "o", "--max-side", 30, order="none")
    sample = made[60].sample
    assert Pictures.open(io.BytesIO(made[60].images[0])).size == (30, 20)
    assert rendered(sample)[1:3] == rendered(boxes(20))
    assert list(verify(made)) == []


def test_a_complete_mix_is_kept_for_its_shards_and_another_is_refused_by_name(data, tmp_path, capfd):
    def run(*words):
        status = cli.run(cli.group, [str(word) for word in words], "sphinx-data")
        return status, capfd.readouterr().err

    words = arguments(data, tmp_path / "o")
    assert run(*words)[0] == 0
    status, error = run(*words)
    assert (status, "o/shards: is a complete dataset already" in error) == (2, True)
    (tmp_path / "o/shards").rename(tmp_path / "first")
    before = files(tmp_path / "o/mix")
    assert run(*words)[0] == 0
    assert files(tmp_path / "o/shards") == files(tmp_path / "first")
    (tmp_path / "o/shards").rename(tmp_path / "second")
    status, error = run(*arguments(data, tmp_path / "o", epochs=2))
    assert status == 2
    assert "o/mix: holds another mix: recipe.sources[0].epochs is 1.0, this one has 2.0" in error
    assert files(tmp_path / "o/mix") == before
    assert not (tmp_path / "o/shards").exists()
    locked = ["mix", "--locked", tmp_path / "o/mix/mix.lock.json", "--root", data]
    status, error = run(*locked, "--out", tmp_path / "p")
    assert (status, "merge_by: is 'image'" in error) == (2, True)
    assert run(*locked, "--out", tmp_path / "p/mix", "--materialise", tmp_path / "p/shards")[0] == 0
    assert files(tmp_path / "p/shards") == files(tmp_path / "first")
    assert "give --materialise DIR" in run(*locked, "--out", tmp_path / "q", "--max-side", 64)[1]
    assert "need a folder of their own" in run(*locked, "--out", tmp_path / "q", "--materialise", tmp_path / "q")[1]


def test_only_dialogues_with_the_same_system_turns_and_split_are_merged(tmp_path):
    turns = user(PICTURE, text("What?")), answer(text("That."))
    free = Image(file="0.png", width=60, height=40, license="CC0-1.0")
    samples = [
        dialogue("a", 0, system("Be brief."), *turns, images=(free,)),
        dialogue("a", 1, *turns),
        dialogue("a", 2, system("Be brief."), user(PICTURE), answer(text("A cat.")), user(text("Sure?")), *turns[1:]),
        dialogue("a", 3, system("Be brief."), *turns, split="val"),
        dialogue("a", 4, *turns[:1], system("Now in verse."), *turns[1:]),
        dialogue("a", 5, user(PICTURE, text(" and "), PICTURE), *turns[1:]),
        dialogue("a", 6, *turns, user(text("More?")), answer(text("No.")), source="b"),
    ]  # fmt: skip
    with DatasetWriter(str(tmp_path / "a"), "a") as writer:
        for sample in samples:
            writer.add(sample, [png((1, 2, 3), 60, 40)])
    (tmp_path / "r.yaml").write_text("name: m\norder: none\nmerge_by: image\nsources: [{dataset: a}]\n")
    cli.group.main(["mix", str(tmp_path / "r.yaml"), "--root", str(tmp_path), "--out", str(tmp_path / "m"),
                    "--materialise", str(tmp_path / "s")], standalone_mode=False)  # fmt: skip
    made = open_dataset(str(tmp_path / "s"))
    assert [example.sample.meta.get("merged") for example in made] == [
        ["a/0", "a/2"], ["a/1", "a/6"], None, None, None
    ]  # fmt: skip
    assert made.description.parameters["merge"] == {
        "before": 7, "after": 5, "merged": 4, "not_dialogues": 2, "different": 1, "nothing_left": 0
    }  # fmt: skip
    first = made[0].sample
    assert first.messages == (system("Be brief."), *turns, user(text("Sure?")), *turns[1:])
    assert (first.license, first.task, first.images[0].license) == ("MIT", "vqa", "CC0-1.0 AND MIT")
    assert made[1].sample.source == "a+b"
    [reject] = made.rejects().to_pylist()
    assert (reject["id"], reject["level"], reject["rule"]) == ("a/2", "turn", "only-a-picture")
    assert reject["detail"] == "the first 2 turns ask nothing but the picture, which a/0 shows already"


def test_what_can_be_merged():
    assert merge.head(vqa(1)) == merge.head(vqa(2))
    assert merge.head(caption(1)).hollow
    assert merge.head(page(1)) is None
    assert merge.head(dialogue("a", 0, user(text("Hi")), answer(text("Hi")), images=())) is None
    assert merge.head(dialogue("a", 0, user(text("Hi")), answer(text("Hi")))) is None
    assert merge.head(dialogue("a", 0, *vqa(1).messages, user(text("And?")))) is None
    two = vqa(1).images[0], Image(file="1.png", width=9, height=9)
    assert merge.head(msgspec.structs.replace(vqa(1), images=two)) is None


def test_licences_of_merged_samples():
    assert licenses.conjunction(["MIT", "CC-BY-4.0 AND MIT", "A OR B"]) == "(A OR B) AND CC-BY-4.0 AND MIT"
    assert licenses.conjunction(["A OR B", "A OR B"]) == "A OR B"


def test_a_damaged_sample_is_not_merged(data, tmp_path):
    shard = data / "boxes/shards/000000-00.tar"
    content = bytearray(shard.read_bytes())
    content[content.index(b"Where in ")] ^= 1
    shard.write_bytes(content)
    with pytest.raises(Exception, match="boxes/0: is not what its index says; run sphinx-data verify on its dataset"):
        mixed(data, tmp_path / "o", "--workers", 1)
