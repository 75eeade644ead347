"""Wordings of instructions and answers: one YAML file a task, the papers' own form first, chosen by the sample's id.

>>> choose("classification", "question", "signs/3/a")
'Classify the image.'
"""

from functools import lru_cache
from importlib.resources import files

import xxhash
import yaml

from sphinx_data.errors import UsageError


@lru_cache(maxsize=64)
def wordings(task: str) -> dict[str, tuple[str, ...]]:
    """All wordings of a task by kind (``question``, ``answer``, ...). Raises UsageError for a task without a file."""
    file = files(__name__) / f"{task}.yaml"
    if not file.is_file():
        raise UsageError(f"phrasing/{task}.yaml does not exist, so task {task!r} has no wordings")
    return {kind: tuple(lines) for kind, lines in yaml.safe_load(file.read_text("utf-8")).items()}


def choose(task: str, kind: str, sample_id: str, turn: int = 0) -> str:
    """One wording, by a hash of sample id, turn and kind: the same on every machine, spread evenly over samples.

    The first wording, the papers' own, gets half of the samples; the others share the rest.
    """
    options = wordings(task)[kind]
    if len(options) == 1:
        return options[0]
    draw = xxhash.xxh3_64_intdigest(f"{sample_id}\0{turn}\0{kind}".encode("utf-8", "surrogatepass"))
    return options[0] if draw % 2 == 0 else options[1 + draw // 2 % (len(options) - 1)]
