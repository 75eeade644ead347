"""Ratings by a model behind an endpoint: each sample is shown, the answer checked, the record asked first."""

import io
import sys
import threading
import time
import warnings
from typing import Any

import msgspec
from PIL import Image

from sphinx_data.answers import Record
from sphinx_data.curate import prompt as prompts
from sphinx_data.curate.prompt import DIALOGUE, Prompt, Unrated
from sphinx_data.dataset.reader import Example
from sphinx_data.endpoint import Request, picture
from sphinx_data.media import DamagedImage

ASKED_AGAIN = 2  # times, with what was wrong
_EVERY = 10.0  # seconds between two lines of progress
_QUALITY = 90
_SENT_AS_STORED = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp"}


class Rating:
    """Asks a model for the fields of a prompt; any number of threads may share it, no other process."""

    def __init__(self, record: Record, model: str, prompt: Prompt, images: bool = True, parallel: int = 8) -> None:
        self.record, self.model, self.prompt, self.images, self.parallel = record, model, prompt, images, parallel
        self._schema = prompt.json_schema()
        self._lock, self._told, self._rated = threading.Lock(), time.monotonic(), 0

    @property
    def parameters(self) -> dict[str, Any]:
        """What the column follows from, besides the record."""
        return {"model": self.model, "prompt": msgspec.to_builtins(self.prompt), "images": self.images}

    def rate(self, example: Example) -> dict[str, Any]:
        """The fields of a sample. Raises Unrated where the model gives none, DamagedImage for a broken picture."""
        messages = self._messages(example)
        for number in range(ASKED_AGAIN + 1):
            answer = self.record.answer(self._request(messages))
            self._tell(last=number == 0)
            if answer.refused:
                raise Unrated("refused", answer.refused)
            try:
                return self.prompt.values(answer.text)
            except Unrated as error:
                wrong = error
            if answer.finish == "length":
                wrong = Unrated("too-long", f"The answer was cut after {answer.completion_tokens} tokens.")
            again = f"{wrong.detail} Answer again, with one JSON object that has exactly these fields: "
            messages += [
                {"role": "assistant", "content": answer.text},
                {"role": "user", "content": again + msgspec.json.encode(self._schema["properties"]).decode()},
            ]
        raise wrong

    def _request(self, messages: list[dict[str, Any]]) -> Request:
        asked = self.prompt
        return Request(
            model=self.model, messages=tuple(messages), schema=self._schema if asked.structured else None,
            max_tokens=asked.max_tokens, temperature=asked.temperature, extra=asked.extra,
        )  # fmt: skip

    def _messages(self, example: Example) -> list[dict[str, Any]]:
        text = self.prompt.question.replace(DIALOGUE, prompts.dialogue(example.sample))
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if self.images:
            content += [picture(*_fit(example, n, self.prompt.max_side)) for n in range(len(example.images))]
        system = [{"role": "system", "content": self.prompt.system}] if self.prompt.system else []
        return [*system, {"role": "user", "content": content if len(content) > 1 else text}]

    def _tell(self, last: bool) -> None:
        """A line of progress now and then: parts are long when each sample takes a second."""
        with self._lock:
            self._rated += last
            if time.monotonic() - self._told < _EVERY:
                return
            self._told = time.monotonic()
            t = self.record.totals
            print(
                f"measure: {self._rated:,} samples rated, {t.asked:,} requests, {t.recorded:,} from the record, "
                f"{t.prompt_tokens:,} + {t.completion_tokens:,} tokens",
                file=sys.stderr,
            )


def _fit(example: Example, number: int, side: int) -> tuple[bytes, str]:
    """An image as it goes out: its stored bytes where these are small enough, else a smaller JPEG."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = example.image(number)
            if max(stored.size) <= side and stored.format in _SENT_AS_STORED:
                return bytes(example.images[number]), _SENT_AS_STORED[stored.format]
            stored.draft("RGB", (2 * side, 2 * side))
            if stored.mode in ("RGBA", "LA", "PA") or "transparency" in stored.info:
                layer = stored.convert("RGBA")
                stored = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            small = stored.convert("RGB")
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            file = io.BytesIO()
            small.save(file, "JPEG", quality=_QUALITY)
            return file.getvalue(), "jpeg"
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise DamagedImage("image-damaged", f"image {number} cannot be decoded: {error}") from None
