"""Presets on the meta device: parameters and tokens are those of papers and released files."""

import pytest
import torch

from sphinx_model import info
from sphinx_model.encoding import Placeholders
from sphinx_model.presets import PRESETS, build, configuration, find, make_processor
from sphinx_model.tokenizer import template

# Language models, with their heads: model cards and configurations on the Hub (sum of all tensors of the checkpoint).
LLAMA2_13B = 13_015_864_320
TINYLLAMA = 1_100_048_384
INTERNLM2_7B = 7_737_708_544
MIXTRAL_8X7B = 46_702_792_704
SMOLLM2_135M = 134_515_008

# BLIP-2 without OPT: `Blip2Model` of Salesforce/blip2-opt-2.7b has 3,744,761,856 in all, OPT-2.7b with its 50,304 rows
# 2,651,678,720 and `language_projection` 768 * 2560 + 2560.
QFORMER = 3_744_761_856 - 2_651_678_720 - (768 * 2560 + 2560)
CLIP_LARGE = 303_966_208 - 1024 * 768  # open_clip's visual ViT-L-14 without its projection
CONVNEXT_XXLARGE = 843_398_016  # timm's convnext_xxlarge without classes, its head's norm counted ("843 M")
DINOV2_GIANT = 1_136_480_768  # facebook/dinov2-giant ("1.1 B")
FOUR = {"qformer": QFORMER, "clip": CLIP_LARGE, "convnext": CONVNEXT_XXLARGE, "dinov2": DINOV2_GIANT}
TWO = {"convnext": CONVNEXT_XXLARGE, "dinov2": DINOV2_GIANT}


def projections(width, channels, qformer):
    """`visual_proj` and `qformer_proj` of the reference: Linear and LayerNorm each."""
    return sum(size * width + 3 * width for size in ([channels, 768] if qformer else [channels]))


# name -> (encoders, language model, its width, channels of the mix, tokens of a square image, of one of 2:1)
# Tokens: `image_words` of LLaMA2-Accessory's models; SPHINX-X with skip tokens: 3 * 259 + 2 of 5 * 259 are left at 2:1.
EXPECTED = {
    "sphinx": (FOUR, LLAMA2_13B, 5120, 5632, 291, 291),
    "sphinx-1k": (FOUR, LLAMA2_13B, 5120, 5632, 1455, 1455),
    "sphinx-2k": (FOUR, LLAMA2_13B, 5120, 5632, 2910, 2910),
    "sphinx-moe": (FOUR, MIXTRAL_8X7B, 4096, 5632, 291, 291),
    "sphinx-moe-1k": (FOUR, MIXTRAL_8X7B, 4096, 5632, 1455, 1455),
    "sphinx-tiny": (TWO, TINYLLAMA, 2048, 4608, 259, 259),
    "sphinx-tiny-1k": (TWO, TINYLLAMA, 2048, 4608, 1295, 1295),
    "sphinx-x-tiny": (TWO, TINYLLAMA, 2048, 4608, 1295, 779),
    "sphinx-x-intern2": (TWO, INTERNLM2_7B, 4096, 4608, 1295, 779),
    "sphinx-x-plus": (TWO, LLAMA2_13B, 5120, 4608, 1295, 779),
    "sphinx-x-plus-2k": (TWO, LLAMA2_13B, 5120, 4608, 2590, 7 * 259 + 3),
    "sphinx-x-moe": (TWO, MIXTRAL_8X7B, 4096, 4608, 1295, 779),
    "smol": ({"convnext": 27_820_128, "dinov2": 22_056_576}, SMOLLM2_135M, 576, 768 + 384, 1295, 779),
    "nano": ({"convnext": 366_400, "dinov2": 366_464}, 1_164_160, 128, 256, 95, 59),
}


@pytest.fixture(scope="module")
def counted():
    """name -> (configuration, parameters by part), each counted once."""
    kept = {}

    def count(name):
        if name not in kept:
            config = configuration(find(name))
            kept[name] = config, info.parameters(info.meta_model(config))
        return kept[name]

    return count


def test_every_preset_is_expected_below():
    assert set(EXPECTED) == set(PRESETS)


@pytest.mark.parametrize("name", EXPECTED)
def test_parameters_and_tokens_are_those_that_are_published(counted, name):
    encoders, language, width, channels, square, wide = EXPECTED[name]
    config, parts = counted(name)
    assert {part: parts[part] for part in encoders} == encoders
    assert parts["language model"] == language
    assert parts["connector"] == projections(width, channels, "qformer" in encoders)
    assert parts["image marks"] == width * (2 if config.skip_token == "off" else 3)
    assert parts["all"] == sum(parts[part] for part in (*encoders, "connector", "image marks", "language model"))
    frozen = sum(encoders.values()) if name != "nano" else 0
    assert parts["trained"] == parts["all"] - frozen
    assert (config.layout(900, 900).tokens, config.layout(1000, 500).tokens) == (square, wide)


# Files of the released checkpoints on the Hub: number of tensor-parallel ranks, gigabytes of each, two bytes a number.
RELEASED = {"sphinx-1k": (2, 19.9), "sphinx-moe-1k": (8, 18.6), "sphinx-tiny": (1, 6.2)}
OPEN_CLIP_TEXT = (
    39_382_273  # what is left of open_clip's CLIP beside its visual side: embeddings, norm, projections, scale
)


@pytest.mark.parametrize("name", RELEASED)
def test_the_size_of_released_files_is_that_of_the_parameters(counted, name):
    """Every rank holds its share of the language model and all of the encoders."""
    ranks, gigabytes = RELEASED[name]
    _, parts = counted(name)
    text = OPEN_CLIP_TEXT if "clip" in parts else 0
    whole = parts["all"] - parts["language model"] + text
    assert round(2 * (parts["language model"] / ranks + whole) / 1e9, 1) == pytest.approx(gigabytes, abs=0.051)


def test_views_of_one_image_reach_each_encoder_at_its_own_size():
    sizes = {
        "sphinx-1k": [224, 224, 256, 224],
        "sphinx-moe-1k": [224, 224, 512, 224],
        "sphinx-tiny-1k": [512, 224],
        "sphinx-x-plus-2k": [256, 224],
    }
    for name, expected in sizes.items():
        config = configuration(find(name))
        assert [entry["image_size"] for entry in config.vision_configs] == expected
        assert config.token_grid == 16
    assert configuration(find("sphinx-moe-1k")).layout_rule.side == 1024
    assert configuration(find("sphinx-x-plus-2k")).layout_rule.side == 672


def test_flops_are_those_that_were_counted_by_hand():
    """trainer_anchors: 2.18 TFLOP a tile for ConvNeXt-XXL at 512 and DINOv2-g; 2 FLOPs a matrix parameter and token."""
    tiny = info.flops(info.meta_model(configuration(find("sphinx-tiny"))))
    assert tiny.view == pytest.approx(2.18e12, rel=0.01)
    assert tiny.token == 2 * (TINYLLAMA - 32000 * 2048 - 45 * 2048)  # without embeddings and norms
    assert tiny.pair == 4 * 2048 * 22
    moe = info.flops(info.meta_model(configuration(find("sphinx-moe"))))
    expert = 3 * 4096 * 14336 * 32
    assert moe.token == 2 * (MIXTRAL_8X7B - 6 * expert - 32000 * 4096 - 65 * 4096)
    assert tiny.sample(2, 10) == (2 * tiny.view, 10 * tiny.token + 55 * tiny.pair)


def test_a_processor_of_every_preset_counts_the_tokens_of_the_model(tokenizer):
    for name, preset in PRESETS.items():
        config = configuration(preset, tokenizer)
        processor = make_processor(config, tokenizer, image_position=preset.image_position)
        layout = processor.layout(640, 480)
        assert layout == config.layout(640, 480), name
        assert len(processor.encoder.image_ids(layout)) == layout.tokens, name
        assert processor.placeholders == Placeholders(
            config.image_token_id, config.image_start_token_id, config.image_end_token_id, config.image_skip_token_id
        )


def test_equal_seeds_give_equal_weights(tokenizer):
    first, second, other = (build("nano", tokenizer, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.equal(first["model.marks.start"], other["model.marks.start"])


def test_unknown_presets_and_foreign_tokenizers_are_refused(tokenizer):
    with pytest.raises(ValueError, match="no preset 'nix'; known: sphinx, sphinx-1k"):
        find("nix")
    text = find("smol").language.config()
    text.vocab_size = 100
    with pytest.raises(ValueError, match="do not belong together"):
        configuration(find("smol"), tokenizer, text)


def test_an_answer_holds_no_placeholders_of_images(tokenizer):
    """A young model's favourite token may be one; a view that nobody gave would be wanted at the next step."""
    model, processor = build("nano", tokenizer, template("sphinx"))
    (prompt,) = processor.tokenizer(["What is it?"], return_tensors="pt")["input_ids"][None]
    with torch.no_grad():
        hidden = model.model(input_ids=prompt).last_hidden_state[0, -1]
        for number, place in enumerate(processor.encoder.placeholders):
            model.lm_head.weight[place] = hidden * (100 + number)
        made = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6)
    assert not set(made[0, prompt.shape[1] :].tolist()) & set(processor.encoder.placeholders)
