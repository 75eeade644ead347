"""Named architectures. A preset is a function from a tokenizer to a configuration; weights are random."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import ConvNextConfig, Dinov2Config, GenerationConfig, LlamaConfig

from sphinx_model.configuration_sphinx import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, SphinxConfig
from sphinx_model.modeling_sphinx import SphinxForConditionalGeneration
from sphinx_model.processing_sphinx import SphinxProcessor
from sphinx_model.tokenizer import IMAGE_TOKENS


def nano(tokenizer: Any) -> SphinxConfig:
    """For a CPU: learns shapes, colours and digits from nothing in minutes, so its encoders train as well.

    Weights start near 1 / sqrt(width): at the usual 0.02 layers this narrow begin almost silent, and after 5,000
    questions the answers still ignored the picture.
    """
    view = 64
    convnext = ConvNextConfig(
        image_size=view, patch_size=4, num_stages=3, hidden_sizes=[32, 64, 128], depths=[1, 1, 2],
        layer_scale_init_value=0.0, initializer_range=0.1,
    )  # fmt: skip
    dinov2 = Dinov2Config(
        image_size=view, patch_size=16, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2,
        use_mask_token=False, initializer_range=0.08,
    )  # fmt: skip
    llama = LlamaConfig(
        vocab_size=_padded(len(tokenizer)), hidden_size=128, intermediate_size=384, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=8192, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.08,
    )  # fmt: skip
    return SphinxConfig(
        vision_configs=[
            {"encoder": convnext, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
            {"encoder": dinov2, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD},
        ],
        text_config=llama,
        view_size=view,
        grid=2,
        freeze_encoders=False,
        **placeholder_ids(tokenizer),
    )


PRESETS: dict[str, Callable[[Any], SphinxConfig]] = {"nano": nano}


def placeholder_ids(tokenizer: Any) -> dict[str, Any]:
    """The four placeholder fields of `SphinxConfig`, from a tokenizer that holds those tokens."""
    names = ("image_token_id", "image_start_token_id", "image_end_token_id", "image_skip_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(list(IMAGE_TOKENS)), strict=True))


def build(
    name: str, tokenizer: Any, chat_template: str | None = None, seed: int = 0
) -> tuple[SphinxForConditionalGeneration, SphinxProcessor]:
    """A model with random weights and its processor; equal seeds give equal weights.

    `chat_template` is the text of a template; default: the tokenizer's. Raises ValueError for unknown presets.
    """
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    config = PRESETS[name](tokenizer)
    processor = make_processor(config, tokenizer, chat_template)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SphinxForConditionalGeneration(config)
    # An answer ends with the template's own mark (EOS is never learned after it): its last token stops generation.
    stop = processor.encoder.codec.control(processor.stop_string())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted({tokenizer.eos_token_id, stop[-1]}),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=64,
    )
    return model, processor


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
