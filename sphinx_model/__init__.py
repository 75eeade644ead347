"""SPHINX as Hugging Face models, and the trainer that makes them from dataset directories.

>>> from sphinx_model import SphinxForConditionalGeneration, SphinxProcessor

Importing a class registers all of them with the Auto classes; importing the package alone loads neither torch nor
transformers.
"""

from typing import Any

_CLASSES = ("SphinxConfig", "SphinxForConditionalGeneration", "SphinxModel", "SphinxProcessor")
__all__ = list(_CLASSES)


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        from sphinx_model import auto

        return getattr(auto, name)
    raise AttributeError(f"module 'sphinx_model' has no attribute {name!r}")
