"""``where``: one boolean SQL expression over the index and the columns, run by DuckDB with external access off.

What may stand in it is a list of what is known to be a pure function of one row; everything else is refused by name:
statements, sub-selects, window functions, and any function that reads files, settings, the clock or random numbers.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sphinx_data.errors import UsageError

_CLASSES = {
    "COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "CASE", "CAST", "TYPE", "FUNCTION",
}  # fmt: skip
_FUNCTIONS = {
    "+", "-", "*", "/", "//", "%", "**", "^", "||", "&", "|", "~", "<<", ">>", "~~", "!~~", "~~*", "!~~*", "~~~",
    "abs", "ceil", "ceiling", "floor", "round", "trunc", "sqrt", "ln", "log", "log2", "log10", "exp", "pow", "power",
    "greatest", "least", "sign", "mod", "isnan", "isfinite",
    "lower", "upper", "length", "strlen", "trim", "ltrim", "rtrim", "substring", "substr", "left", "right", "replace",
    "contains", "starts_with", "ends_with", "prefix", "suffix", "instr", "strpos", "position", "concat", "reverse",
    "regexp_matches", "regexp_full_match", "regexp_extract", "split_part", "like_escape", "not_like_escape",
    "ilike_escape", "not_ilike_escape", "ifnull", "nullif", "struct_extract", "array_extract", "list_extract", "len",
    "list_contains", "list_has_any", "list_has_all", "array_length", "list_value", "list_min", "list_max", "list_sum",
}  # fmt: skip
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "threads": "1",
}


class Where:
    """A checked expression; `columns` are the names of the index columns and side columns that it reads."""

    def __init__(self, expression: str, place: str) -> None:
        """Raises UsageError naming `place` unless it is one expression of allowed parts."""
        import duckdb

        self._connection = duckdb.connect(config=_SETTINGS)
        self.expression, self.place = expression, place
        self._columns: dict[str, None] = {}
        self._check(self._parsed(expression))
        self.columns = list(self._columns)

    def mask(self, table: pa.Table) -> NDArray[np.bool_]:
        """Which rows of a table it is true for, bool[N]; null is false. Raises UsageError when it is no boolean."""
        import duckdb

        try:
            self._connection.register("samples", table)
            found = self._connection.sql(f"SELECT (\n{self.expression}\n) AS chosen FROM samples").to_arrow_table()
        except duckdb.Error as error:
            raise self._wrong(str(error).splitlines()[0]) from None
        finally:
            self._connection.unregister("samples")
        if found["chosen"].type != pa.bool_():
            raise self._wrong(f"it gives {found['chosen'].type}, not true or false")
        chosen: NDArray[np.bool_] = found["chosen"].combine_chunks().fill_null(False).to_numpy(zero_copy_only=False)
        return chosen

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Raise UsageError for a name that is none of the known columns: DuckDB would take it for a function."""
        known = set(known)
        for name in self.columns:
            if name not in known:
                raise self._wrong(f"{name!r} is neither in the index nor a column ({', '.join(sorted(known))})")

    def _parsed(self, expression: str) -> dict[str, Any]:
        # with and without brackets: an expression that closes the bracket around it parses in one form only
        trees = [self._tree(f"SELECT {form}") for form in (f"(\n{expression}\n)", f"\n{expression}\n")]
        node = trees[0]["statements"][0]["node"]
        selected = [len(tree["statements"][0]["node"].get("select_list", ())) for tree in trees]
        alias = trees[1]["statements"][0]["node"]["select_list"][0].get("alias")
        plain = all(node.get(key) in (None, []) for key in ("where_clause", "having", "qualify", "sample", "modifiers"))
        if selected != [1, 1] or alias or not plain or node["from_table"]["type"] != "EMPTY":
            raise self._wrong("it is more than one expression")
        first: dict[str, Any] = node["select_list"][0]
        return first

    def _tree(self, statement: str) -> dict[str, Any]:
        [(text,)] = self._connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchall()
        tree: dict[str, Any] = msgspec.json.decode(text)
        if tree.get("error"):
            raise self._wrong(f"it is not one SQL expression ({tree.get('error_message')})")
        if len(tree["statements"]) != 1 or tree["statements"][0]["node"]["type"] != "SELECT_NODE":
            raise self._wrong("it is more than one expression")
        return tree

    def _check(self, node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                self._check(item)
        if not isinstance(node, dict):
            return
        kind = node.get("class")
        if kind is not None and kind not in _CLASSES:
            raise self._wrong(f"a {kind.lower().replace('_', '-')} cannot stand in it")
        if kind == "FUNCTION":
            name = str(node["function_name"]).lower()
            if name not in _FUNCTIONS or node.get("schema") or node.get("filter"):
                raise self._wrong(f"the function {name!r} cannot stand in it")
        if kind == "COLUMN_REF":
            self._columns[node["column_names"][0]] = None
        for key, value in node.items():
            if key not in ("literal", "value", "cast_type"):
                self._check(value)

    def _wrong(self, why: str) -> UsageError:
        return UsageError(f"{self.place}: {self.expression!r}: {why}; give one true-or-false expression of a sample")
