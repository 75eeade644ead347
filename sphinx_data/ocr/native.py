"""PDFium's functions, loaded on first use: inside the process that reads, for the library is not fork-safe."""

import ctypes
import functools
import importlib
import importlib.util
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sphinx_data.errors import UsageError


def require() -> None:
    """Raise UsageError when pypdfium2 is not installed; does not load it."""
    if importlib.util.find_spec("pypdfium2") is None:
        raise UsageError("build-ocr reads PDFs with pypdfium2, which is not installed: pip install 'sphinx-mllm[ocr]'")


@functools.cache
def raw() -> Any:
    """pypdfium2's raw module; the library is initialised, and closed at exit."""
    require()
    importlib.import_module("pypdfium2")
    return importlib.import_module("pypdfium2.raw")


@functools.cache
def address_call(name: str, arguments: int, result: Any = ctypes.c_uint, more: tuple[Any, ...] = ()) -> Any:
    """A PDFium function on plain addresses: (handle, *more), or (handle, index, `arguments` addresses) from 0 on.

    No ctypes object is made per call, which is half of the time.
    """
    pointer = ctypes.cast(getattr(raw(), name), ctypes.c_void_p).value or 0
    kinds = [ctypes.c_void_p, *more, *([ctypes.c_int] if arguments >= 0 else []), *[ctypes.c_void_p] * arguments]
    return ctypes.PYFUNCTYPE(result, *kinds)(pointer)  # too short to give up the interpreter's lock for


_AT_ONCE = 4096  # characters whose arguments are kept


def character_boxes(text: int | None, count: int) -> NDArray[np.float64]:
    """[N, 4] left, bottom, right, top of the ink of the first `count` characters; zeros where PDFium tells none.

    `text` is the address of a text page. Most of a call through ctypes is making its arguments, so they are made once.
    """
    call, numbers, places, room = _box_arguments()
    page = ctypes.c_void_p.from_param(text)
    found = np.zeros((count, 4))
    for start in range(0, count, _AT_ONCE):
        end = min(count, start + _AT_ONCE)
        own = numbers if start == 0 else [ctypes.c_int.from_param(index) for index in range(start, end)]
        room[: end - start] = 0
        deque(map(call, repeat(page, end - start), own, *places), maxlen=0)
        found[start:end] = room[: end - start]
    return found


def font_boxes(text: int | None, indices: Sequence[int]) -> NDArray[np.float64]:
    """[K, 4] left, top, right, bottom of characters `indices` by their font; zeros where PDFium tells none."""
    call, places, room = _font_box_arguments()
    numbers, page = _box_arguments()[1], ctypes.c_void_p.from_param(text)
    found = np.zeros((len(indices), 4))
    for start in range(0, len(indices), _AT_ONCE):
        own = indices[start : start + _AT_ONCE]
        made = map(numbers.__getitem__ if max(own) < _AT_ONCE else ctypes.c_int.from_param, own)
        room[: len(own)] = 0
        deque(map(call, repeat(page, len(own)), made, places), maxlen=0)
        found[start : start + len(own)] = room[: len(own)]
    return found


@functools.cache
def _font_box_arguments() -> tuple[Any, list[Any], NDArray[np.float32]]:
    """FPDFText_GetLooseCharBox, addresses of structs in a buffer, and that buffer."""
    pointer = ctypes.cast(raw().FPDFText_GetLooseCharBox, ctypes.c_void_p).value or 0
    buffer = (ctypes.c_float * (4 * _AT_ONCE))()
    places = [ctypes.byref(buffer, 16 * index) for index in range(_AT_ONCE)]
    return ctypes.PYFUNCTYPE(None)(pointer), places, np.ctypeslib.as_array(buffer).reshape(-1, 4)


@functools.cache
def _box_arguments() -> tuple[Any, list[Any], list[list[Any]], NDArray[np.float64]]:
    """FPDFText_GetCharBox, indices from 0 on, four lists of addresses in a buffer, and that buffer."""
    pointer = ctypes.cast(raw().FPDFText_GetCharBox, ctypes.c_void_p).value or 0
    buffer = (ctypes.c_double * (4 * _AT_ONCE))()
    numbers = [ctypes.c_int.from_param(index) for index in range(_AT_ONCE)]
    sides = (0, 2, 1, 3)  # it is asked for left, right, bottom, top
    places = [[ctypes.byref(buffer, 8 * (4 * index + side)) for index in range(_AT_ONCE)] for side in sides]
    # without argument types they go through as they are
    return ctypes.PYFUNCTYPE(None)(pointer), numbers, places, np.ctypeslib.as_array(buffer).reshape(-1, 4)
