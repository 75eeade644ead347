"""Samples that are longer than a pack, cut at turns (docs/contracts.md, 6.2)."""

from typing import Any

from sphinx_data.dataset.reader import Dataset
from sphinx_data.dialects import Dialect
from sphinx_data.sample import Sample
from sphinx_model import lengths
from sphinx_model.packing import Piece
from sphinx_model.rendering import encode, part


class Splitter:
    """Cuts rows of a dataset into pieces of at most `tokens` positions and `views` encoded views.

    A piece is as many whole exchanges (a user's turns and the answer to them) as fit. An exchange that is too long by
    itself, or before which nothing fits in which something is learned, is in no piece.
    """

    def __init__(self, dataset: Dataset, processor: Any, dialect: Dialect, tokens: int, views: int) -> None:
        self._dataset, self._processor, self._dialect = dataset, processor, dialect
        self._tokens, self._views = tokens, views
        self.key = f"split/{lengths.key(processor, dialect)}"

    def __call__(self, row: int) -> tuple[list[Piece], int]:
        """Pieces of a row in order, and how many of its turns are in none."""
        sample = self._dataset.sample(row)
        borders = [*_openings(sample), len(sample.messages)]
        pieces, left_out, start = [], 0, 0
        while start < len(borders) - 1:
            best, after = self._longest(sample, borders, start)
            if best is None:
                left_out += borders[start + 1] - borders[start]
            else:
                pieces.append(best)
            start = after
        return pieces, left_out

    def _longest(self, sample: Sample, borders: list[int], start: int) -> tuple[Piece | None, int]:
        """The longest piece from border `start` on, and the border at which it ends."""
        best, after = None, start + 1
        for stop in range(start + 1, len(borders)):
            piece, learned = self._measure(sample, borders[start], borders[stop])
            if piece is None:
                break
            if learned:
                best, after = piece, stop
        return best, after

    def _measure(self, sample: Sample, first: int, last: int) -> tuple[Piece | None, bool]:
        """A piece, None where it fits in no pack; and whether anything is learned in it."""
        try:
            encoded, layouts = encode(part(sample, first, last), self._processor, self._dialect)
        except ValueError:  # the template refuses these roles
            return None, False
        views = sum(len(layouts[image].views) for image in encoded.images)
        if len(encoded.input_ids) > self._tokens or views > self._views:
            return None, False
        return Piece(first, last, len(encoded.input_ids), views), any(label >= 0 for label in encoded.labels)


def _openings(sample: Sample) -> list[int]:
    """Numbers of the messages that begin an exchange; what comes before the first question belongs to it."""
    roles = [message.role for message in sample.messages]
    users = [n for n, role in enumerate(roles) if role == "user" and (n == 0 or roles[n - 1] != "user")]
    return [0, *users[1:]]
