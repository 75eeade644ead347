"""Measures, one module each; the module's name is the measure's and the column's name.

Every module has

- a docstring whose first line says what is measured;
- ``SCHEMA``: the fields of its column, in order, all nullable; the main one is ``score`` where one number says it;
- ``measure(example) -> dict``: a pure function of one sample; a field that is left out is null. It raises
  `sphinx_data.media.DamagedImage` where a picture cannot be decoded: the row is null and counted.
- ``PICTURES = True`` where it looks at pixels; without it the pictures are not even read.

There is no registry: `measure_names` looks at this folder, `load` imports.
"""

import ast
import importlib
from pathlib import Path
from types import ModuleType

from sphinx_data.errors import UsageError


def measure_names() -> list[str]:
    """Names of all measures, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def descriptions() -> dict[str, str]:
    """One line a measure, the first of its module's docstring, without importing any of them."""
    found = {}
    for name in measure_names():
        text = (Path(__file__).parent / f"{name}.py").read_text("utf-8")
        found[name] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


def load(name: str) -> ModuleType:
    """The module of a measure. Raises UsageError listing those there are."""
    if name not in measure_names():
        raise UsageError(f"measure {name}: is not known; choose of {', '.join(measure_names())}, or give --function")
    return importlib.import_module(f"{__name__}.{name}")
