"""Pictures that lie inside an annotation file."""

from typing import Any

from sphinx_data import media
from sphinx_data.convert._common import CommonOptions, RejectedError, clean_text, short
from sphinx_data.media import Prepared


def prepared(data: bytes, options: CommonOptions, name: str = "") -> Prepared:
    """A picture that was embedded in a file. Raises RejectedError."""
    try:
        return media.prepare_image(data, decode=options.decode)
    except media.DamagedImage as error:
        raise RejectedError(error.rule, f"{name}: {error.detail}" if name else error.detail) from None


def embedded(source: Any) -> bytes:
    """The bytes of an image cell: bytes, or ``{bytes, path}`` as `datasets` writes it."""
    data = source.get("bytes") if isinstance(source, dict) else source
    if isinstance(data, bytes):
        return data
    path = source.get("path") if isinstance(source, dict) else None
    if isinstance(path, str):
        raise RejectedError("image-not-embedded", f"The row holds no bytes of {clean_text(path)}, only its name.")
    raise RejectedError("image-not-embedded", f"{short(source)} is no picture.")
