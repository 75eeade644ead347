import re
import subprocess
import sys

import msgspec
import pytest

from sphinx_data import convert
from sphinx_data.convert._common import CommonOptions
from sphinx_data.errors import UsageError


def test_every_module_is_a_format_with_one_line():
    lines = convert.descriptions()
    assert {"coco", "imagefolder", "llava"} <= set(lines)
    assert all(line.endswith(".") and len(line) <= 120 for line in lines.values())
    for name in convert.format_names():
        module = convert.load(name)
        assert issubclass(module.Options, CommonOptions)
        assert all(hasattr(module, part) for part in ("Record", "records", "produce", "recognise"))


def test_a_format_is_explained_with_its_parameters_and_what_they_do():
    text = convert.explain("coco")
    assert "COCO" in text
    assert re.search(r"\n  max_objects: int = 60  # .+", text)
    assert re.search(r"\n  limit: .+  # at most so many records", text)
    for name in convert.format_names():
        listed = convert.explain(name).partition("parameters (--set KEY=VALUE):\n")[2].splitlines()
        keys = [line.strip().partition(":")[0] for line in listed]
        assert set(keys) == {field.name for field in msgspec.structs.fields(convert.load(name).Options)}
        assert len(set(keys)) == len(keys)
        assert not any("Annotated" in line for line in listed)


def test_the_list_of_formats_needs_neither_numpy_nor_pillow():
    code = "import sys; from sphinx_data import convert; convert.descriptions(); "
    code += "print([m for m in ('numpy', 'PIL', 'cv2', 'torch', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["nonsense", "_common", "../cli"])
def test_an_unknown_format_is_named(name):
    with pytest.raises(UsageError, match=r"choose one of .*coco"):
        convert.load(name)
