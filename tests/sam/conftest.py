"""A Segment Anything network of 64 pixels with random weights, saved as Hugging Face saves the real ones."""

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from transformers import SamConfig, SamModel


@pytest.fixture(scope="session")
def sam_directory(tmp_path_factory):
    torch.manual_seed(3)
    config = SamConfig(
        vision_config={
            "hidden_size": 32, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 64, "patch_size": 8, "window_size": 3, "global_attn_indexes": [1], "num_pos_feats": 16,
            "initializer_range": 0.2, "mlp_dim": 64,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 8, "iou_head_hidden_dim": 32,
        },
    )  # fmt: skip
    model = SamModel(config)
    for name, values in model.named_parameters():
        if values.dim() > 1 and "mask_decoder" in name:
            torch.nn.init.normal_(values, std=0.3)
        if "pos" in name:
            torch.nn.init.normal_(values, std=0.5)
    place = tmp_path_factory.mktemp("sam") / "sam-tiny"
    model.save_pretrained(place)
    return place


@pytest.fixture
def photos(tmp_path):
    """A folder of six pictures of shapes, one of them turned by EXIF, one below a folder, one damaged."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.png", "c.jpg", "more/a.jpg", "turned.jpg")):
        pixels = np.random.default_rng(number).integers(0, 60, (150 + 7 * number, 200, 3), np.uint8)
        pixels[20:90, 30:110, number % 3] += 150
        pixels[80:140, 90:180, (number + 1) % 3] += 120
        picture = Picture.fromarray(pixels)
        exif = picture.getexif()
        if name == "turned.jpg":
            exif[0x0112] = 6
        picture.save(folder / name, exif=exif)
    (folder / "damaged.jpg").write_bytes((folder / "a.jpg").read_bytes()[:700])
    return folder
