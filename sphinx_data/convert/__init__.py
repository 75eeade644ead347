"""Published formats -> samples. One module a format; the module's name is the format's name.

Every format module has

- ``Options``: a Struct of parameters (they go into plan.json); its fields beyond `CommonOptions` are the format's own;
- ``Record``: what the planning pass hands to a worker; ``weight`` is the bytes of media it stands for;
- ``records(inputs, options) -> Iterator[Record]``: the planning pass: cheap, streaming, in file order; what is global
  (classes, limits, unique ids) is decided here. Raises InputError for an annotation file damaged beyond use;
- ``produce(record, options, places) -> Iterator[Built | Reject]``: pure, in workers; ``places["images"]`` is the folder
  of pictures, ``places["input.0"]`` the first annotation file or folder;
- ``recognise(glimpse) -> bool``: whether an input without ``--format`` is of this format (`_recognise.Glimpse`).

There is no registry: `format_names` looks at this folder, `load` imports.
"""

import ast
import importlib
import inspect
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple, get_origin

from sphinx_data.errors import UsageError

_BOUNDS = re.compile(r"Annotated\[(\w+), (?:\w+|[\w.]+\([^)]*\))\]")


class Inputs(NamedTuple):
    """What a conversion reads."""

    annotations: tuple[str, ...]  # annotation files, or folders where the format is one of folders
    images: str | None = None  # folder of pictures; default: that of the first annotation file

    def places(self) -> dict[str, str]:
        """The roots that workers need, ``input.N`` for every annotation; they never influence results."""
        first = Path(self.annotations[0])
        places = {f"input.{number}": os.path.abspath(path) for number, path in enumerate(self.annotations)}
        return {"images": os.path.abspath(self.images or (first if first.is_dir() else first.parent)), **places}


def format_names() -> list[str]:
    """Names of all formats, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def descriptions() -> dict[str, str]:
    """One line a format, the first of its module's docstring, without importing any of them."""
    found = {}
    for name in format_names():
        text = (Path(__file__).parent / f"{name}.py").read_text("utf-8")
        found[name] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


def explain(name: str) -> str:
    """The docstring of a format's module, and its parameters with their comments. Raises UsageError if unknown."""
    module = load(name)
    kinds = [kind for kind in module.Options.__mro__ if kind.__module__.startswith(f"{__name__}.")]
    fields: dict[str, str] = {}
    for kind in kinds:  # from the format's own to those that all have
        fields |= {name: line for name, line in _fields(kind).items() if name not in fields}
    return f"{(module.__doc__ or '').strip()}\n\nparameters (--set KEY=VALUE):\n" + "\n".join(fields.values())


def _fields(kind: type) -> dict[str, str]:
    """The fields of a class as they stand in its source, without bounds, with the comments behind them."""
    code = inspect.getsource(kind)
    (found,) = ast.parse(code).body
    assert isinstance(found, ast.ClassDef)
    lines, known = code.split("\n"), vars(sys.modules[kind.__module__])
    shown = {}
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            line = _BOUNDS.sub(r"\1", lines[node.lineno - 1].strip())
            said = ast.unparse(node.annotation)
            if get_origin(known.get(said)) is Literal:  # a name for several values
                line = line.replace(said, str(known[said]).removeprefix("typing.").replace("'", '"'), 1)
            shown[node.target.id] = f"  {line}"
    return shown


def _refuse_unknown(name: str) -> None:
    if name not in format_names():
        raise UsageError(f"--format {name}: is not known; choose one of {', '.join(format_names())}")


def load(name: str) -> ModuleType:
    """The module of a format. Raises UsageError listing those there are."""
    _refuse_unknown(name)
    return importlib.import_module(f"{__name__}.{name}")
