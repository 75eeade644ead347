"""Measures ready to run: those of `sphinx_data.curate.measures`, ratings, and any user function."""

import importlib
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash

from sphinx_data import __version__, storage
from sphinx_data.curate import measures
from sphinx_data.curate.prompt import Unrated
from sphinx_data.curate.rate import Rating
from sphinx_data.dataset import tables
from sphinx_data.dataset.reader import Example
from sphinx_data.errors import SphinxError, UsageError
from sphinx_data.media import DamagedImage

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TYPES = {bool: pa.bool_(), str: pa.string(), int: pa.float64(), float: pa.float64()}


class Unfit(ValueError):
    """A value that has no place in the column."""


class Wanted(NamedTuple):
    """A column to make; without a rating it crosses processes."""

    column: str
    function: str | None = None  # package.module:name; None: the measure of the column's name
    schema: pa.Schema | None = None  # of a function, once it is known
    rating: Rating | None = None  # instead of both: a model that is asked, by threads of one process


class Measure(NamedTuple):
    """A function of one sample and the column that it fills."""

    column: str
    schema: pa.Schema
    function: Callable[[Example], Mapping[str, Any] | None]
    pictures: bool  # whether it looks at pixels
    foreign: bool  # a user's function: whatever it raises is counted and the row is null
    parameters: dict[str, Any]
    otherwise: dict[str, Any] = {}  # the values of a sample that could not be measured

    def row(self, example: Example) -> tuple[dict[str, Any], str, str]:
        """The values of a sample; where it fails the kind of failure and a sentence."""
        try:
            values = self.function(example) or {}
            return (_conform(values, self.schema) if self.foreign else dict(values)), "", ""
        except (DamagedImage, Unrated) as error:
            kind, why = error.rule, error.detail
        except Exception as error:
            if not self.foreign or isinstance(error, SphinxError):
                raise
            kind, why = type(error).__name__, f"{type(error).__name__}: {error}"
        return dict(self.otherwise), kind, why


def prepare(wanted: Wanted) -> Measure:
    """Load a measure. Raises UsageError for an unknown one, or a function that cannot be imported."""
    if (rating := wanted.rating) is not None:
        schema, otherwise = rating.prompt.arrow(), rating.prompt.defaults()
        pictures = rating.images
        return Measure(wanted.column, schema, rating.rate, pictures, False, rating.parameters, otherwise)
    if wanted.function is None:
        module = measures.load(wanted.column)
        parameters = {"measure": wanted.column, "code": __version__}
        pictures = getattr(module, "PICTURES", False)
        return Measure(wanted.column, module.SCHEMA, module.measure, pictures, False, parameters)
    function, code = _import(wanted.function)
    schema = wanted.schema or pa.schema([])
    fields = {field.name: str(field.type) for field in schema}
    return Measure(
        wanted.column, schema, function, True, True, {"function": wanted.function, "code": code, "fields": fields}
    )


def check_name(name: str) -> None:
    """Raise UsageError for the name of a function's column that a recipe could not use."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name}: use small letters, digits and _, so that conditions can name it")
    if name in tables.INDEX.names:
        raise UsageError(f"--name {name}: is a column of the index; choose another name")
    if name in measures.measure_names():
        raise UsageError(f"--name {name}: is a measure of this package; choose another name")


def infer(measure: Measure, examples: Iterable[Example]) -> pa.Schema:
    """The fields of a function's column: the keys of its first result; numbers are float64, whatever comes first.

    Raises UsageError when it fails for every sample or gives what no column can hold.
    """
    fields: dict[str, pa.DataType | None] = {}
    why = "it returned nothing"
    for example in examples:
        try:
            values = dict(measure.function(example) or {})
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            continue
        for key, value in values.items():
            if not fields.get(key) and (len(fields) < len(values) or key in fields):
                fields[key] = _type(measure, key, value)
        if fields and all(fields.values()):
            break
    if not fields:
        raise UsageError(f"--function {measure.parameters['function']}: gave no values for any sample ({why})")
    return pa.schema([(key, kind or pa.float64()) for key, kind in fields.items()])


def _type(measure: Measure, key: Any, value: Any) -> pa.DataType | None:
    value = _plain(value)
    if not isinstance(key, str) or not (value is None or type(value) in _TYPES):
        raise UsageError(
            f"--function {measure.parameters['function']}: gave {key!r}: {type(value).__name__}; "
            "a value is a number, a text, true or false, or None"
        )
    return _TYPES.get(type(value))


def _conform(values: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """The values as their column holds them. Raises Unfit for another key or type, or a number that is not finite."""
    found = {}
    for key, value in values.items():
        value = _plain(value)
        if key not in schema.names:
            raise Unfit(f"{key!r} is not among the fields {schema.names}")
        if value is not None and _TYPES.get(type(value)) != schema.field(key).type:
            raise Unfit(f"{key!r} is {value!r}, the column holds {schema.field(key).type}")
        if isinstance(value, float) and not math.isfinite(value):
            raise Unfit(f"{key!r} is {value}, which no condition can compare")
        found[key] = value
    return found


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _import(path: str) -> tuple[Callable[[Example], Mapping[str, Any] | None], str]:
    """A function by ``package.module:name``, sought from the working folder too, and the hash of its source file."""
    place, _, name = path.partition(":")
    if not place or not name:
        raise UsageError(f"--function {path}: give package.module:name")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(place)
        function = getattr(module, name)
    except Exception as error:  # whatever a user's module does while it is imported
        raise UsageError(f"--function {path}: cannot be imported ({type(error).__name__}: {error})") from None
    if not callable(function):
        raise UsageError(f"--function {path}: is no function")
    source = getattr(module, "__file__", None)
    return function, xxhash.xxh3_128_hexdigest(storage.read_bytes(source)) if source else ""
