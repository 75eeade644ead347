"""Masks by a SAM checkpoint: its definitions against slow ones, whole folders, kills, checkpoints that are not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from transformers import SamModel

from sphinx_data import rle
from sphinx_data.errors import InputError
from sphinx_model import cli
from sphinx_model.sam import checkpoint, proposals
from sphinx_model.sam.proposals import Proposal, Settings

LOOSE = ("--points", "4", "--iou", "-99", "--stability", "0", "--alike", "1", "--min-area", "30")
ALL = Settings(points=4, iou=-99, stability=0.0, alike=1.0, min_area=1)


@pytest.fixture(scope="module")
def sam(sam_directory):
    torch.set_num_threads(1)
    return checkpoint.load(sam_directory)


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(map(str, arguments)))
    return stopped.value.code or 0


def picture(width=90, height=60, seed=0):
    return Picture.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- definitions ----


@given(st.integers(0, 2**32), st.integers(0, 25), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_nms_keeps_what_the_definition_keeps(seed, count, most):
    random = np.random.default_rng(seed)
    low = random.integers(0, 20, (count, 2))
    boxes = np.concatenate([low, low + random.integers(1, 20, (count, 2))], axis=1).astype(float)
    scores = random.integers(0, 6, count) / 5  # many are equal

    def iou(a, b):
        cells = [
            {(x, y) for x in range(int(c[0]), int(c[2])) for y in range(int(c[1]), int(c[3]))}
            for c in (boxes[a], boxes[b])
        ]
        return len(cells[0] & cells[1]) / len(cells[0] | cells[1])

    wanted: list[int] = []
    for number in sorted(range(count), key=lambda n: (-scores[n], n)):
        if all(iou(number, kept) <= most for kept in wanted):
            wanted.append(number)
    assert proposals.nms(boxes, scores, most) == wanted


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_stability_is_the_overlap_of_masks_at_two_thresholds(seed):
    logits = torch.tensor(np.random.default_rng(seed).normal(0, 2, (3, 7, 9)))
    logits[2] = -5  # no mask at all
    found = proposals.stability(logits)
    for number in range(3):
        high, low = (logits[number] > 1).numpy(), (logits[number] > -1).numpy()
        union = (high | low).sum()
        assert float(found[number]) == pytest.approx((high & low).sum() / union if union else 0.0)


def test_tidying_fills_small_holes_and_drops_small_islands():
    mask = np.zeros((40, 50), bool)
    mask[5:30, 5:40] = True
    mask[10:13, 10:13] = False  # a hole of 9
    mask[15:25, 15:30] = False  # one of 150, kept
    mask[35:38, 45:48] = True  # an island of 9
    tidied = proposals.tidy(mask, 10)
    assert tidied[10:13, 10:13].all()
    assert not tidied[15:25, 15:30].any()
    assert not tidied[35:38, 45:48].any()
    assert (proposals.tidy(mask, 1) == mask).all()


def test_wholes_and_parts():
    def mask(x0, y0, x1, y1) -> Proposal:
        inside = np.zeros((50, 60), bool)
        inside[y0:y1, x0:x1] = True
        runs = rle.from_array(inside)
        box = rle.bounds(runs, 50)
        assert box is not None
        return Proposal(runs, box, rle.area(runs), 1.0, 1.0, (0.0, 0.0))

    car, door, wheel, other = mask(0, 0, 30, 20), mask(2, 2, 27, 14), mask(4, 16, 8, 20), mask(40, 30, 50, 40)
    backdrop = mask(0, 0, 60, 49)
    everything = [car, door, wheel, other, backdrop]
    assert proposals._chosen(everything, 50, 60, "all") == everything
    assert proposals._chosen(everything, 50, 60, "wholes") == [car, other, backdrop]
    assert proposals._chosen(everything, 50, 60, "parts") == [door, wheel, other, backdrop]


# ---- one picture ----


def test_masks_lie_in_the_picture_and_are_measured_right(sam):
    for width, height in ((90, 60), (33, 120), (64, 64), (7, 5)):
        found = proposals.propose(sam, picture(width, height), ALL)
        assert found
        assert [one.iou for one in found] == sorted((one.iou for one in found), reverse=True)
        for one in found:
            inside = rle.window(rle.check(one.runs, height, width), height, (0, 0, width, height))
            rows, columns = np.nonzero(inside)
            assert one.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert one.area == inside.sum()
            assert 0 <= one.point[0] < width
            assert 0 <= one.point[1] < height
            assert 0 <= one.stability <= 1


def test_three_masks_a_point_of_the_grid_and_batches_change_nothing(sam):
    found = proposals.propose(sam, picture(), ALL)
    assert len(found) <= 3 * 16
    assert {one.point for one in found} <= {
        (90 * (x + 0.5) / 4, 60 * (y + 0.5) / 4) for x in range(4) for y in range(4)
    }
    in_threes = proposals.propose(sam, picture(), ALL, batch=3)
    assert [(one.box, one.area) for one in found] == [(one.box, one.area) for one in in_threes]
    assert all((a.runs == b.runs).all() for a, b in zip(found, in_threes, strict=True))


def test_every_filter_filters(sam):
    everything = proposals.propose(sam, picture(), ALL)
    middle = sorted(one.iou for one in everything)[len(everything) // 2]
    steady = sorted(one.stability for one in everything)[len(everything) // 2]
    some = proposals.propose(sam, picture(), Settings(points=4, iou=middle, stability=steady, alike=1.0, min_area=1))
    wanted = [one for one in everything if one.iou > middle and one.stability >= steady]
    assert [one.area for one in some] == [one.area for one in wanted]
    assert 0 < len(some) < len(everything)
    large = proposals.propose(sam, picture(), Settings(points=4, iou=-99, stability=0.0, alike=1.0, min_area=900))
    assert all(one.area >= 900 for one in large)


def test_pixels_are_those_of_the_processor_of_transformers(sam, sam_directory):
    """Against the class that needs no torchvision."""
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    size = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    theirs = SamImageProcessorPil(**size)(picture(90, 60), return_tensors="pt")["pixel_values"]
    ours = proposals._pixels(sam, picture(90, 60), proposals.resized(90, 60, 64), 64)
    assert torch.allclose(ours, theirs, atol=1e-4)


# ---- folders ----


def test_a_folder_gets_the_same_masks_twice_and_a_damaged_photo_says_why(sam_directory, photos, tmp_path, capsys):
    for out in ("one", "two"):
        assert run("masks", photos, "--checkpoint", sam_directory, "--out", tmp_path / out, *LOOSE) == 0
    assert "masks of 6 photos, 6 of them made now" in capsys.readouterr().out
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert set(one) == {
        "sam.json", "a.jpg.json", "b.png.json", "c.jpg.json", "more/a.jpg.json", "turned.jpg.json", "damaged.jpg.json",
    }  # fmt: skip
    damaged = json.loads(one["damaged.jpg.json"])
    assert damaged["annotations"] == []
    assert damaged["error"]
    turned = json.loads(one["turned.jpg.json"])["image"]
    with Picture.open(photos / "turned.jpg") as stored:
        assert (turned["height"], turned["width"]) == stored.size
    assert run("masks", photos, "--checkpoint", sam_directory, "--out", tmp_path / "one", *LOOSE) == 0
    assert "0 of them made now" in capsys.readouterr().out


def test_a_killed_run_goes_on_where_it_was(sam_directory, photos, tmp_path):
    for number in range(12):
        picture(120, 90, number).save(photos / f"{number}.png")
    step = [sys.executable, "-m", "sphinx_model.cli", "masks", str(photos), "--checkpoint", str(sam_directory)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    out = tmp_path / "killed"
    with subprocess.Popen([*step, "--out", str(out), *LOOSE], env=environment, stderr=subprocess.DEVNULL) as process:
        while len(list(out.glob("*.json"))) < 4 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    before = {name: (out / name).stat().st_mtime_ns for name in contents(out) if ".tmp-" not in name}
    assert 3 <= len(before) < 19
    for place in (out, tmp_path / "whole"):
        subprocess.run([*step, "--out", str(place), *LOOSE], env=environment, check=True, capture_output=True)
    assert contents(out) == contents(tmp_path / "whole")
    assert all((out / name).stat().st_mtime_ns == stamp for name, stamp in before.items())


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (("--points", "5"), 2, "holds masks of another checkpoint or other settings"),
        (("--checkpoint", "nowhere"), 3, "nowhere: does not exist; name a SAM checkpoint"),
        (("--out", "PHOTOS/masks"), 2, "lies in the folder of photos"),
        (("--out", "PHOTOS/.."), 2, "is not empty and holds no sam.json"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, status, message, sam_directory, photos, tmp_path, capsys):
    out = tmp_path / "out"
    base = ["masks", photos, "--checkpoint", sam_directory, "--out", out, "--points", "4"]
    assert run(*base) == 0
    capsys.readouterr()
    changed = [str(value).replace("PHOTOS", str(photos)) for value in change]
    assert run(*base, *changed) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


# ---- checkpoints ----


def test_broken_checkpoints_are_one_sentence(sam_directory, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "sam2"}')
    lacking = tmp_path / "lacking"
    model = SamModel.from_pretrained(sam_directory)
    state = {name: value for name, value in model.state_dict().items() if "neck.conv2" not in name}
    model.save_pretrained(lacking, state_dict=state)
    short = tmp_path / "short"
    short.mkdir()
    (short / "config.json").write_bytes((sam_directory / "config.json").read_bytes())
    (short / "model.safetensors").write_bytes((sam_directory / "model.safetensors").read_bytes()[:-1000])
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    foreign = tmp_path / "foreign.pth"
    torch.save({"weight": torch.zeros(3)}, foreign)
    for place, message in (
        (empty, "holds no config.json"),
        (other, "model_type 'sam2', not 'sam'"),
        (lacking, "lacks vision_encoder.neck.conv2.weight"),
        (short, "holds no SAM checkpoint that can be read"),
        (text, "is truncated, or of PyTorch before 1.6"),
        (foreign, "is not a released SAM checkpoint"),
    ):
        with pytest.raises(InputError) as found:
            checkpoint.load(place)
        assert message in str(found.value)
        assert str(place) in str(found.value)


RELEASED = (  # module of Hugging Face's model -> of segment_anything/modeling, in this order
    ("vision_encoder.neck.conv1", "image_encoder.neck.0"), ("vision_encoder.neck.layer_norm1", "image_encoder.neck.1"),
    ("vision_encoder.neck.conv2", "image_encoder.neck.2"), ("vision_encoder.neck.layer_norm2", "image_encoder.neck.3"),
    ("vision_encoder.patch_embed.projection", "image_encoder.patch_embed.proj"),
    ("vision_encoder.layers", "image_encoder.blocks"), ("vision_encoder.pos_embed", "image_encoder.pos_embed"),
    ("mask_embed.conv1", "mask_downscaling.0"), ("mask_embed.layer_norm1", "mask_downscaling.1"),
    ("mask_embed.conv2", "mask_downscaling.3"), ("mask_embed.layer_norm2", "mask_downscaling.4"),
    ("mask_embed.conv3", "mask_downscaling.6"), (".point_embed.", ".point_embeddings."),
    ("shared_embedding.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
    ("upscale_conv1", "output_upscaling.0"), ("upscale_layer_norm", "output_upscaling.1"),
    ("upscale_conv2", "output_upscaling.3"), ("iou_prediction_head.layers.0", "iou_prediction_head.layers.1"),
    ("iou_prediction_head.proj_in", "iou_prediction_head.layers.0"),
    ("iou_prediction_head.proj_out", "iou_prediction_head.layers.2"),
    *((f"mlps.{n}.{new}", f"mlps.{n}.{old}") for n in range(4)
      for new, old in (("layers.0", "layers.1"), ("proj_in", "layers.0"), ("proj_out", "layers.2"))),
    ("layer_norm_final_attn", "norm_final_attn"),
)  # fmt: skip


def released_name(name: str) -> str:
    for ours, theirs in RELEASED:
        if ours in name:
            name = name.replace(ours, theirs)
            break
    if ".layer_norm" in name and "neck" not in name:
        name = name.replace(".layer_norm", ".norm")
    return name


def test_a_released_pth_gives_the_same_network(sam, sam_directory, tmp_path):
    ours = {name: value for name, value in sam.model.state_dict().items() if not name.startswith("shared_image")}
    released = {released_name(name): value for name, value in ours.items()}
    assert "mask_decoder.transformer.layers.0.norm1.weight" in released
    assert "image_encoder.blocks.1.norm2.bias" in released
    torch.save(released | {"pixel_mean": torch.zeros(3, 1, 1)}, tmp_path / "sam_vit_t.pth")
    loaded = checkpoint.load(tmp_path / "sam_vit_t.pth")
    vision = loaded.model.config.vision_config
    assert (vision.window_size, list(vision.global_attn_indexes), vision.num_attention_heads) == (3, [1], 2)
    for name, value in ours.items():
        assert torch.equal(loaded.model.state_dict()[name], value), name
