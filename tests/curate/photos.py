"""Real and damaged pictures for the tests of measures."""

import io
import zlib
from pathlib import Path

from PIL import Image as Pictures

PHOTOS = Path(__file__).parents[2] / "recipes/demo/data/photos"


def encoded(picture: Pictures.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def photo(name: str) -> Pictures.Image:
    return Pictures.open(PHOTOS / name).convert("RGB")


def damaged_png() -> bytes:
    """Whole chunks with right checksums around pixels that cannot be unpacked: only decoding finds it."""
    data = b"IDAT" + b"\x00" * 20
    good = encoded(Pictures.new("RGB", (12, 8)))
    return good[:33] + (16 + 4).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big") + good[-12:]
