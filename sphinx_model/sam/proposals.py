"""All masks of one picture: a grid of points, three masks a point, and filters, as SAM's own generator has them.

Section 7 and appendix B of arXiv 2304.02643; defaults are those of the released ``SamAutomaticMaskGenerator``. The
picture is encoded once, points go through the decoder in batches. Masks that the network itself doubts go first, at the
decoder's resolution; only what is left is brought to the picture's pixels, a few masks at a time.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import cv2
import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from sphinx_data import rle
from sphinx_model.sam.checkpoint import Sam

_AT_A_TIME = 1 << 26  # pixels of masks that are held as float32 while they are enlarged: 256 MB
_INSIDE = 0.9  # share of a mask within another from which it is a part of it
_BACKGROUND = 0.9  # a mask of so much of the picture is no whole that has parts

Masks = NDArray[np.bool_]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides which masks there are."""

    points: int = 32  # along each side of the grid
    iou: float = 0.88  # least quality that the network predicts of a mask
    stability: float = 0.95  # least overlap of the masks at thresholds of +1 and -1
    alike: float = 0.7  # of two boxes with a larger intersection over union the better mask is kept
    min_area: int = 100  # pixels: smaller holes are filled, smaller islands and masks dropped
    keep: Literal["all", "wholes", "parts"] = "all"  # wholes: none that lies in another; parts: none made up of others


class Proposal(NamedTuple):
    """One mask of a picture."""

    runs: rle.Runs  # of its pixels
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 around its pixels, x1 and y1 exclusive
    area: int  # pixels
    iou: float  # predicted quality
    stability: float
    point: tuple[float, float]  # that it was made from, in pixels of the picture


def propose(sam: Sam, picture: Image.Image, settings: Settings, batch: int = 64) -> list[Proposal]:
    """The masks of an RGB picture, best first. `batch` points at a time change memory and speed, not the masks."""
    side = int(sam.model.config.vision_config.image_size)
    size = resized(picture.width, picture.height, side)
    device = next(sam.model.parameters()).device
    with torch.inference_mode():
        embedding = sam.model.get_image_embeddings(_pixels(sam, picture, size, side).to(device))
        places = grid(settings.points)
        found: list[Proposal] = []
        for start in range(0, len(places), batch):
            found += _of_points(sam, embedding, places[start : start + batch], picture.size, size, settings)
    kept = [found[n] for n in nms(_boxes(found), np.array([one.iou for one in found]), settings.alike)]
    return _chosen(kept, picture.height, picture.width, settings.keep)


def resized(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side becomes `side`, rounded as SAM was trained."""
    scale = side / max(width, height)
    return max(int(width * scale + 0.5), 1), max(int(height * scale + 0.5), 1)


def _pixels(sam: Sam, picture: Image.Image, size: tuple[int, int], side: int) -> torch.Tensor:
    """[1, 3, side, side]: normalised, the picture in the upper left, zeros right and below."""
    values = torch.from_numpy(np.array(picture.resize(size, Image.Resampling.BILINEAR))).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (sam.mean, sam.std))
    return F.pad((values / 255 - mean) / std, (0, side - size[0], 0, side - size[1]))


def grid(count: int) -> NDArray[np.float64]:
    """[count^2, 2]: x, y of the middles of a grid of cells over a picture of size 1, row by row."""
    middles = (np.arange(count) + 0.5) / count
    return np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)


def _of_points(
    sam: Sam, embedding: torch.Tensor, places: NDArray[np.float64], original: tuple[int, int], size: tuple[int, int],
    settings: Settings,
) -> list[Proposal]:  # fmt: skip
    """The masks of some points that pass, in the order of points; three a point."""
    points = torch.tensor(places * size, dtype=embedding.dtype, device=embedding.device)
    out = sam.model(image_embeddings=embedding, input_points=points[None, :, None], multimask_output=True)
    logits, quality = out.pred_masks[0].flatten(0, 1), out.iou_scores[0].flatten()
    several = len(quality) // len(places)
    good = torch.nonzero(quality > settings.iou).flatten()
    found = []
    for number, mask, stability in _enlarged(sam, logits, good, original, size, settings):
        tidied = tidy(mask, settings.min_area)
        if (one := _measured(tidied)) is not None and one[2] >= settings.min_area:
            x, y = places[number // several] * original
            found.append(Proposal(*one, float(quality[number]), stability, (float(x), float(y))))
    return found


def _enlarged(
    sam: Sam, logits: torch.Tensor, numbers: torch.Tensor, original: tuple[int, int], size: tuple[int, int],
    settings: Settings,
) -> Iterator[tuple[int, Masks, float]]:  # fmt: skip
    """Number, mask bool [height, width] and stability of those masks that are stable, at the picture's resolution."""
    side = int(sam.model.config.vision_config.image_size)
    step = max(_AT_A_TIME // max(original[0] * original[1], side * side), 1)
    for start in range(0, len(numbers), step):
        some = numbers[start : start + step]
        large = F.interpolate(logits[some][:, None], (side, side), mode="bilinear", align_corners=False)
        large = large[..., : size[1], : size[0]]
        large = F.interpolate(large, (original[1], original[0]), mode="bilinear", align_corners=False)[:, 0]
        scores = stability(large)
        for place in torch.nonzero(scores >= settings.stability).flatten().tolist():
            yield int(some[place]), (large[place] > 0).cpu().numpy(), float(scores[place])


def stability(logits: torch.Tensor, offset: float = 1.0) -> torch.Tensor:
    """[N]: overlap (IoU) of the masks that logits [N, H, W] give at thresholds of +offset and -offset; 0 without any.

    The one lies in the other, so that intersection and union are their areas.
    """
    inner = (logits > offset).flatten(1).sum(1)
    outer = (logits > -offset).flatten(1).sum(1)
    return torch.where(outer > 0, inner / outer.clamp(min=1), 0.0)


def tidy(mask: Masks, min_area: int) -> Masks:
    """The mask with holes below `min_area` pixels filled, and islands below it dropped."""
    for value in (False, True):
        count, labels, facts, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=8)
        small = np.flatnonzero(facts[1:count, cv2.CC_STAT_AREA] < min_area) + 1
        if small.size:
            mask = np.where(np.isin(labels, small), not value, mask)
    return mask


def _measured(mask: Masks) -> tuple[rle.Runs, tuple[int, int, int, int], int] | None:
    runs = rle.from_array(mask)
    box = rle.bounds(runs, mask.shape[0])
    return None if box is None else (runs, box, rle.area(runs))


def _boxes(found: list[Proposal]) -> NDArray[np.float64]:
    return np.array([one.box for one in found], np.float64).reshape(-1, 4)


def nms(boxes: NDArray[np.float64], scores: NDArray[np.float64], most: float) -> list[int]:
    """Boxes [N, 4] to keep, by falling score, then number: none has an IoU above `most` with a kept one before it."""
    order = np.lexsort((np.arange(len(scores)), -scores)) if len(scores) else np.zeros(0, np.int64)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept: list[int] = []
    while order.size:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[order, :2]), np.minimum(boxes[best, 2:], boxes[order, 2:])
        both = np.prod(np.maximum(high - low, 0), axis=1)
        order = order[both <= most * (areas[best] + areas[order] - both)]
    return kept


def _chosen(found: list[Proposal], height: int, width: int, keep: str) -> list[Proposal]:
    """All; or those that lie in no larger one; or those that are not for the greater part made up of smaller ones."""
    if keep == "all":
        return found
    masks = [rle.window(one.runs, height, one.box) for one in found]

    def shared(one: int, other: int) -> Masks:
        """The part of a mask, in its own box, that another covers."""
        (x0, y0, x1, y1), (u0, v0, u1, v1) = found[one].box, found[other].box
        out = np.zeros_like(masks[one])
        a, b, c, d = max(x0, u0), max(y0, v0), min(x1, u1), min(y1, v1)
        if a < c and b < d:
            here = masks[one][b - y0 : d - y0, a - x0 : c - x0]
            out[b - y0 : d - y0, a - x0 : c - x0] = here & masks[other][b - v0 : d - v0, a - u0 : c - u0]
        return out

    def within(one: int, other: int) -> bool:
        return found[one].area < found[other].area and int(shared(one, other).sum()) >= _INSIDE * found[one].area

    numbers = range(len(found))
    if keep == "wholes":
        holders = [n for n in numbers if found[n].area < _BACKGROUND * width * height]
        return [found[n] for n in numbers if not any(within(n, other) for other in holders)]
    out = []
    for n in numbers:
        covered = np.zeros_like(masks[n])
        for other in numbers:
            if within(other, n):
                covered |= shared(n, other)
        if 2 * int(covered.sum()) <= found[n].area:
            out.append(found[n])
    return out
