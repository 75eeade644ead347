"""The page of a training run, ``OUT/report.html``: one file that needs nothing but itself."""

import sys
from collections.abc import Sequence
from pathlib import Path

from sphinx_data import storage
from sphinx_data.dataset.reader import Dataset
from sphinx_data.errors import OutputError
from sphinx_data.report.markup import Html
from sphinx_model.loader import PackDataset
from sphinx_model.metrics import read_lines
from sphinx_model.recipe import TrainRecipe
from sphinx_model.report import answers, fed
from sphinx_model.report.cards import card
from sphinx_model.report.log import LogFile
from sphinx_model.report.page import Facts, render

__all__ = ["Page"]


class Page:
    """The page of one run, made from what lies in its folder and from the packs that it is fed with."""

    def __init__(
        self, out: Path, recipe: TrainRecipe, packs: PackDataset, held: Dataset | None, steps: int, packs_in_all: int
    ) -> None:
        self._out, self._recipe, self._packs, self._held = out, recipe, packs, held
        self._steps, self._packs_in_all = steps, packs_in_all
        self._log = LogFile(out / "log.jsonl")
        self._fed: Sequence[Html] | None = None  # cards do not change while a run goes on

    def write(self, step: int) -> Path:
        """Write ``OUT/report.html`` as it is after `step`; equal folders give equal bytes. Returns its path.

        Raises OutputError for a full disk, and whatever damaged data raises.
        """
        if self._fed is None:
            shown = fed.documents(self._packs, self._packs_in_all, self._recipe.pack.batch, self._recipe.loss)
            self._fed = [card(document) for document in shown]
        bad = sorted(read_lines(self._out / "bad_samples.jsonl"), key=lambda line: line["row"])
        facts = Facts(
            name=self._out.name, recipe=self._recipe, data=self._packs.dataset, plan=self._packs.plan, step=step,
            steps=self._steps, packs_in_all=self._packs_in_all, bad=bad,
        )  # fmt: skip
        found = {} if self._held is None else answers.read(self._out, step)
        place = self._out / "report.html"
        logged = self._log.read(step)
        storage.write_atomic(place, render(facts, logged, found, self._held, self._fed))
        return place

    def renew(self, step: int) -> None:
        """`write` in the middle of a run: nothing but a full disk may end hours of training for the sake of a page."""
        try:
            self.write(step)
        except OutputError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"report.html: not renewed at step {step} ({reason}); training goes on", file=sys.stderr)
