"""Shape and size of the pictures: longer by shorter side, smallest side, megapixels; nothing is decoded."""

import pyarrow as pa

from sphinx_data.dataset.reader import Example

SCHEMA = pa.schema([("score", pa.float64()), ("smallest_side", pa.int64()), ("megapixels", pa.float64())])


def measure(example: Example) -> dict[str, float]:
    """`score`, 1 for a square, the largest; `smallest_side` in pixels; `megapixels` of the largest picture."""
    sizes = [(image.width, image.height) for image in example.sample.images]
    if not sizes:
        return {}
    return {
        "score": round(max(max(size) / min(size) for size in sizes), 6),
        "smallest_side": min(min(size) for size in sizes),
        "megapixels": max(width * height for width, height in sizes) / 1_000_000,
    }
