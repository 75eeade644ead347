import signal
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings

from sphinx_data import DatasetWriter

sys.path.insert(0, str(Path(__file__).parent))

# A shell that runs the tests in the background tells them to ignore SIGINT, and processes that they start would, too.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

from samples import picture_sample, png, text_sample

settings.register_profile("any machine", deadline=None)  # a slow machine is no bug
settings.load_profile("any machine")


@pytest.fixture
def make_dataset(tmp_path):
    """Makes a dataset of `pictures` picture samples and `texts` text samples; picture n has colour n // shared."""

    def make(name: str, pictures: int = 20, texts: int = 5, shared: int = 1, at: Path | None = None) -> str:
        place = str((at or tmp_path) / name)
        with DatasetWriter(place, name) as writer:
            for number in range(pictures):
                colour = number // shared
                salt = sum(map(ord, name)) % 200
                writer.add(picture_sample(name, number), [png((colour % 256, colour // 256, salt))])
            for number in range(pictures, pictures + texts):
                writer.add(text_sample(name, number))
        return place

    return make
