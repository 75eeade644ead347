"""``sphinx-data build-som``: from a dataset, or from annotations with a converter put in front."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from sphinx_data.cli.common import Build, building, describing, execute, parameters
from sphinx_data.errors import UsageError
from sphinx_data.sample import Built, Reject
from sphinx_data.som.build import Options


class Composed(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a converter and of the marks that follow it."""

    format: str
    convert: dict[str, Any]
    som: Options


def produce(record: Any, options: Composed, places: dict[str, str]) -> Iterator[Built | Reject]:
    """Convert a record and mark what comes out."""
    from sphinx_data.convert import load
    from sphinx_data.som.build import mark

    module = load(options.format)
    converted = module.produce(record, msgspec.convert(options.convert, module.Options), places)
    return mark(converted, options.som)


@click.command("build-som")
@click.argument("dataset", required=False)
@click.option("--annotations", multiple=True, metavar="FILE", help="Annotation files, instead of a dataset.")
@click.option("--format", "format_name", help="Format of the annotations; see sphinx-data formats.")
@click.option("--images", metavar="DIR", help="Folder of the pictures.  [default: that of the first annotation file]")
@click.option("--source", help="Name of the source, with --annotations.  [default: name of the dataset]")
@click.option("--limit", type=click.IntRange(0), help="At most so many pictures, a seeded subset.")
@describing
@building
def command(
    dataset: str | None, annotations: tuple[str, ...], format_name: str | None, images: str | None, **flags: Any
) -> int:
    """Make Set-of-Mark data from DATASET, whose samples have regions, or from annotations."""
    if bool(dataset) == bool(annotations) or bool(annotations) != bool(format_name):
        raise UsageError("build-som: give a DATASET, or --annotations FILE with --format")
    if dataset:
        return execute(_from_dataset(dataset, flags), flags)
    return execute(_from_annotations(annotations, str(format_name), images, flags), flags)


def _from_dataset(directory: str, flags: dict[str, Any]) -> Build:
    import os

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.executors import plan
    from sphinx_data.som import build

    dataset = open_dataset(directory)
    options = parameters(build.Options, flags["settings"], flags)
    if not options.vocabulary:
        labels = (region.label for row in range(len(dataset)) for region in dataset.sample(row).regions)
        options = msgspec.structs.replace(options, vocabulary=build.vocabulary_of(labels))
    return Build(
        builder="build-som",
        options=options,
        inputs=[plan.Input(name=dataset.name, xxh3=dataset.fingerprint)],
        records=lambda: build.records(dataset, options),
        weight=lambda record: record.weight,
        record=build.Record,
        produce=build.produce,
        places={"dataset": os.path.abspath(directory)},
        reads=tuple(source.directory for source in dataset.sources),
    )


def _from_annotations(
    annotations: tuple[str, ...], format_name: str, images: str | None, flags: dict[str, Any]
) -> Build:
    import os

    from sphinx_data.convert import Inputs, load
    from sphinx_data.executors import plan

    module = load(format_name)
    name = flags["source"] or flags["name"] or os.path.basename(os.path.abspath(flags["out"]))
    converting = parameters(module.Options, (), flags | {"source": name})
    marking = parameters(Options, flags["settings"], {"seed": flags["seed"]})
    inputs = Inputs(annotations, images)
    return Build(
        builder=f"build-som/{format_name}",
        options=Composed(format=format_name, convert=msgspec.to_builtins(converting), som=marking),
        inputs=[plan.annotation(place) for place in annotations],
        records=lambda: module.records(inputs, converting),
        weight=lambda record: record.weight,
        record=module.Record,
        produce=produce,
        places=inputs.places(),
        reads=annotations,
    )
