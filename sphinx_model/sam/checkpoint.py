"""SAM weights in Hugging Face form, or as they were first released (``sam_vit_h_4b8939.pth``), refused where not whole.

Hugging Face: a directory with ``config.json`` of model type ``sam``: ``facebook/sam-vit-base``, ``-large``, ``-huge``,
SlimSAM. Released: one ``.pth`` of https://github.com/facebookresearch/segment-anything, read without executing its
pickle; the shape of the encoder follows from its tensors. SAM 2, SAM-HQ and MobileSAM are other networks.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xxhash
from transformers import SamConfig, SamModel
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig
from transformers.utils import logging

from sphinx_data.errors import InputError
from sphinx_model.convert.pickles import read_torch
from sphinx_model.convert.tensors import Lazy
from sphinx_model.loading import first_line, some

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet: the released 123.675, ... over 255
_TWICE = "shared_image_embedding.positional_embedding"  # the same tensor as the prompt encoder's
_ONCE = "prompt_encoder.shared_embedding.positional_embedding"
_WEIGHTS = (".safetensors", ".bin", ".json")
_WINDOW = 14

# released name -> ours, in this order
_RENAMED: tuple[tuple[str, str], ...] = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.blocks\.", ".layers."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.neck\.0\.", ".neck.conv1."), (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."), (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."), (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."), (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."), (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.", r"\1.proj_in."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.1\.", r"\1.layers.0."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.2\.", r"\1.proj_out."),
)  # fmt: skip


class Sam(NamedTuple):
    """A loaded checkpoint."""

    model: Any  # SamModel in eval mode, float32
    mean: tuple[float, ...]  # of channels, of values 0 to 1
    std: tuple[float, ...]
    fingerprint: str  # xxh3-128 of the files that were read, in hexadecimal


def load(place: Path) -> Sam:
    """The checkpoint of a directory or a ``.pth`` file. Raises InputError that says what is wrong with it."""
    if not place.exists():
        raise InputError(f"{place}: does not exist; name a SAM checkpoint: a Hugging Face directory, or a .pth file")
    logging.disable_progress_bar()
    if place.is_dir():
        model, (mean, std) = _from_directory(place), _normalisation(place)
        files = sorted(path for path in place.iterdir() if path.suffix in _WEIGHTS)
    else:
        model, (mean, std), files = _from_released(place), (MEAN, STD), [place]
    return Sam(model.eval().requires_grad_(False), mean, std, _fingerprint(files))


def _from_directory(place: Path) -> Any:
    kind = _json(place / "config.json").get("model_type")
    if kind != "sam":
        raise InputError(f"{place}: config.json says model_type {kind!r}, not 'sam'; SAM of 2023 and SlimSAM are read")
    network: Any = SamModel
    try:
        model, info = network.from_pretrained(
            place, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, local_files_only=True
        )
    except Exception as error:  # safetensors and configurations raise what they like at damaged files
        raise InputError(f"{place}: holds no SAM checkpoint that can be read ({first_line(error)})") from None
    mismatched = [str(name[0] if isinstance(name, tuple | list) else name) for name in info["mismatched_keys"]]
    _refuse(place, set(info["missing_keys"]) - {_TWICE}, set(info["unexpected_keys"]), mismatched)
    return model


def _from_released(place: Path) -> Any:
    stored = read_torch(place)
    names = {rename(name): lazy for name, lazy in stored.items() if name not in ("pixel_mean", "pixel_std")}
    try:
        config = SamConfig(**config_of(names))
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in SamModel(config).state_dict().items()}
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{place}: is not a released SAM checkpoint (no {first_line(error)})") from None
    wanted.pop(_TWICE)
    wrong = [name for name in names.keys() & wanted.keys() if names[name].shape != wanted[name]]
    _refuse(place, wanted.keys() - names.keys(), names.keys() - wanted.keys(), wrong)
    values = {name: lazy.read().to(torch.float32) for name, lazy in names.items()}
    model = SamModel(config)
    model.load_state_dict(values | {_TWICE: values[_ONCE]})
    return model


def rename(name: str) -> str:
    """The name in Hugging Face's model of a tensor of the released code."""
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name


def config_of(tensors: Mapping[str, Lazy]) -> dict[str, Any]:
    """The parts of a SamConfig as shapes give them; the encoder's heads are as wide as their relative positions."""
    encoder = "vision_encoder."
    hidden, _, patch, _ = tensors[f"{encoder}patch_embed.projection.weight"].shape
    side = tensors[f"{encoder}pos_embed"].shape[1]
    layers = sum(bool(re.fullmatch(r"vision_encoder\.layers\.\d+\.attn\.qkv\.weight", name)) for name in tensors)
    reach = [tensors[f"{encoder}layers.{n}.attn.rel_pos_h"].shape for n in range(layers)]
    windows = sorted({(length + 1) // 2 for length, _ in reach} - {side})
    vision = SamVisionConfig(
        hidden_size=hidden, patch_size=patch, image_size=side * patch, num_hidden_layers=layers,
        num_attention_heads=hidden // reach[0][1], window_size=windows[0] if windows else _WINDOW,
        mlp_dim=tensors[f"{encoder}layers.0.mlp.lin1.weight"].shape[0],
        global_attn_indexes=[n for n, (length, _) in enumerate(reach) if (length + 1) // 2 == side],
        output_channels=tensors[f"{encoder}neck.conv1.weight"].shape[0],
        num_pos_feats=tensors[_ONCE].shape[1],
    )  # fmt: skip
    width = vision.output_channels
    prompt = SamPromptEncoderConfig(
        hidden_size=width, image_size=side * patch, patch_size=patch,
        mask_input_channels=tensors["prompt_encoder.mask_embed.conv2.weight"].shape[0],
    )  # fmt: skip
    decoder = SamMaskDecoderConfig(
        hidden_size=width, mlp_dim=tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        iou_head_hidden_dim=tensors["mask_decoder.iou_prediction_head.proj_in.weight"].shape[0],
    )  # fmt: skip
    parts = {"vision_config": vision, "prompt_encoder_config": prompt, "mask_decoder_config": decoder}
    return {name: part.to_dict() for name, part in parts.items()}


def _refuse(place: Path, missing: Any, foreign: Any, mismatched: Any) -> None:
    for what, names in (("lacks", missing), ("has no place in SAM for", foreign), ("has another shape of", mismatched)):
        if names:
            raise InputError(f"{place}: the checkpoint {what} {some(sorted(names))}")


def _normalisation(place: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the directory's own processor, else those of the released models."""
    found = place / "preprocessor_config.json"
    said = _json(found) if found.exists() else {}
    mean, std = (tuple(said.get(key, usual)) for key, usual in (("image_mean", MEAN), ("image_std", STD)))
    if not all(len(values) == 3 and all(isinstance(v, (int, float)) for v in values) for values in (mean, std)):
        raise InputError(f"{found}: image_mean and image_std are not three numbers each")
    return mean, std


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError:
        raise InputError(f"{path.parent}: holds no {path.name}; name a Hugging Face directory of SAM") from None
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: is not a JSON object")
    return found


def _fingerprint(files: list[Path]) -> str:
    hashed = xxhash.xxh3_128()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                hashed.update(piece)
    return hashed.hexdigest()
