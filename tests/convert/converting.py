"""Runs a conversion as the executor does, and checks everything that must hold for all formats."""

import io
from pathlib import Path

import msgspec
from PIL import Image as Picture

from sphinx_data import convert, sample
from sphinx_data.convert import Inputs
from sphinx_data.dialects import DIALECTS, Geometry


def text_of(built: sample.Sample) -> list[str]:
    """Every message as SPHINX text, images as <i0>."""
    geometries = [Geometry.padded(image.width, image.height) for image in built.images]
    out = []
    for message in built.messages:
        line = ""
        for part in message.content:
            if isinstance(part, sample.ImagePart):
                line += f"<i{part.image}>"
            elif isinstance(part, sample.TextPart):
                line += part.text
            else:
                line += DIALECTS["sphinx"].render(part, built.regions, geometries)
        out.append(line)
    return out


class Run:
    """One conversion: samples and rejects, checked against the schema on the way."""

    def __init__(self, name: str, *annotations: Path, images: Path | None = None, **options) -> None:
        module = convert.load(name)
        inputs = Inputs(tuple(map(str, annotations)), None if images is None else str(images))
        chosen = module.Options(**{"source": "test", **options})
        self.records = list(module.records(inputs, chosen))
        self.built: list[sample.Built] = []
        self.rejects: list[sample.Reject] = []
        for record in self.records:
            crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=module.Record)
            assert crossed == record
            assert crossed.weight >= 0
            for found in module.produce(crossed, chosen, inputs.places()):
                if isinstance(found, sample.Reject):
                    assert found.rule == found.rule.lower()
                    self.rejects.append(found)
                    continue
                assert sample.problems(found.sample) == []
                sample.encode(found.sample)
                for image, data in zip(found.sample.images, found.media, strict=True):
                    assert Picture.open(io.BytesIO(data)).size == (image.width, image.height)
                self.built.append(found)

    @property
    def samples(self) -> list[sample.Sample]:
        return [built.sample for built in self.built]

    def rules(self) -> list[tuple[str, str]]:
        return [(reject.level, reject.rule) for reject in self.rejects]
