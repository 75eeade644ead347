from collections.abc import Callable
from pathlib import Path

import pytest
from ocr_pages import produce_all

from sphinx_data.ocr import build
from sphinx_data.sample import Built, Reject


@pytest.fixture
def build_bytes(tmp_path: Path) -> Callable[..., tuple[list[Built], list[Reject]]]:
    """Build one document given as bytes."""

    def run(data: bytes, options: build.Options | None = None) -> tuple[list[Built], list[Reject]]:
        path = tmp_path / "document.pdf"
        path.write_bytes(data)
        return produce_all(path, options=options)

    return run
