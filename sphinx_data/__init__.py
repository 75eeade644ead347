"""Data toolkit for multimodal LLMs: sources in, WebDataset shards with an index out."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["DatasetWriter", "Sample", "open_dataset"]

if TYPE_CHECKING:
    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.dataset.writer import DatasetWriter
    from sphinx_data.sample import Sample

_PLACES = {
    "open_dataset": "sphinx_data.dataset.reader",
    "DatasetWriter": "sphinx_data.dataset.writer",
    "Sample": "sphinx_data.sample",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``sphinx-data --help`` starts without numpy and pyarrow."""
    if name not in _PLACES:
        raise AttributeError(f"module 'sphinx_data' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
