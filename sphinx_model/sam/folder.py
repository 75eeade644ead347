"""A folder of photos -> a folder of masks in SA-1B's form, a file a photo, that a killed run goes on with.

``MASKS/sub/photo.jpg.json`` holds {"image": {...}, "annotations": [...]} as SA-1B's files do, in pixels of the upright
picture; ``MASKS/sam.json`` says which checkpoint and settings made them, and a run with others is refused. A photo that
cannot be read has a file too, without annotations and with the reason.
"""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import Image

from sphinx_data import media, rle, storage
from sphinx_data.convert.sa1b import PICTURES, SETTINGS
from sphinx_data.errors import InputError, UsageError
from sphinx_model.sam.checkpoint import Sam, load
from sphinx_model.sam.proposals import Proposal, Settings, propose

Note = Callable[[str], None]
_EVERY = 10.0  # seconds between lines of progress


def make(photos: Path, checkpoint: Path, out: Path, settings: Settings, batch: int = 64, note: Note = print) -> str:
    """Write the masks of every photo below a folder that has none yet; one line of what was done.

    Raises InputError for a folder or checkpoint that is not there, UsageError where MASKS are of another run.
    """
    if not photos.is_dir():
        raise InputError(f"{photos}: is not a folder of photos")
    if out.resolve() == photos.resolve() or photos.resolve() in out.resolve().parents:
        raise UsageError(f"--out {out}: lies in the folder of photos; name another place")
    names = [name for name, size in storage.list_files(photos) if size >= 0 and name.lower().endswith(PICTURES)]
    if not names:
        raise InputError(f"{photos}: holds no photo ({', '.join(PICTURES)})")
    sam = load(checkpoint)
    _agree(out, {"form": "sphinx-sam/1", "checkpoint": sam.fingerprint, "settings": msgspec.to_builtins(settings)})
    sam = sam._replace(model=sam.model.to("cuda" if torch.cuda.is_available() else "cpu"))
    left = [name for name in names if not (out / f"{name}.json").exists()]
    note(f"{len(names):,} photos, {len(names) - len(left):,} have masks already")
    began = told = time.monotonic()
    for number, name in enumerate(left, 1):
        storage.write_atomic(out / f"{name}.json", masks_of(sam, photos / name, name, settings, batch))
        if (now := time.monotonic()) - told >= _EVERY or number == len(left):
            told = now
            seconds = (now - began) / number
            note(
                f"{number:,} of {len(left):,} photos, {seconds:.2f} s each, {seconds * (len(left) - number):.0f} s left"
            )
    return f"{out}: masks of {len(names):,} photos, {len(left):,} of them made now"


def _agree(out: Path, said: dict[str, Any]) -> None:
    """Say what makes the masks, or refuse those that something else made."""
    place = out / SETTINGS
    if place.exists():
        try:
            before = msgspec.json.decode(place.read_bytes())
        except msgspec.DecodeError:
            before = None
        if before != said:
            raise UsageError(f"--out {out}: holds masks of another checkpoint or other settings; name another place")
        storage.remove_temporaries(out)
        return
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out {out}: is not empty and holds no {SETTINGS}; name another place")
    out.mkdir(parents=True, exist_ok=True)
    storage.write_atomic(place, msgspec.json.format(msgspec.json.encode(said)) + b"\n")


def masks_of(sam: Sam, photo: Path, name: str, settings: Settings, batch: int) -> bytes:
    """The JSON of one photo."""
    image: dict[str, Any] = {"file_name": name, "width": 0, "height": 0, "upright": True}
    try:
        made = media.prepare_image(photo.read_bytes(), decode=True)
        with Image.open(io.BytesIO(made.data)) as opened:
            picture = opened.convert("RGB")
    except (media.DamagedImage, OSError, ValueError) as error:
        return msgspec.json.encode({"image": image, "annotations": [], "error": str(error)})
    image |= {"width": picture.width, "height": picture.height}
    found = propose(sam, picture, settings, batch)
    notes = [_annotation(n, one, picture.width, picture.height) for n, one in enumerate(found, 1)]
    return msgspec.json.encode({"image": image, "annotations": notes})


def _annotation(number: int, one: Proposal, width: int, height: int) -> dict[str, Any]:
    x0, y0, x1, y1 = one.box
    return {
        "id": number,
        "segmentation": {"size": [height, width], "counts": rle.write(one.runs)},
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": one.area,
        "predicted_iou": round(one.iou, 6),
        "stability_score": round(one.stability, 6),
        "point_coords": [[round(v, 3) for v in one.point]],
        "crop_box": [0, 0, width, height],
    }
