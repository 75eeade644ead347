import json
from pathlib import Path

import numpy as np
import pytest
from converting import Run
from PIL import Image as Picture


@pytest.fixture
def run():
    return Run


@pytest.fixture
def photo(tmp_path):
    """Writes a photo-like picture of a size; returns its path."""

    def write(name: str = "a.jpg", width: int = 80, height: int = 60, **options) -> Path:
        noise = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), np.uint8)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(noise).save(path, **options)
        return path

    return write


@pytest.fixture
def write_json(tmp_path):
    def write(value, name: str = "annotations.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(value))
        return path

    return write
