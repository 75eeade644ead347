"""``sphinx-data build-ocr``."""

from typing import Any

import click

from sphinx_data.cli.common import Build, building, describing, execute, parameters


@click.command("build-ocr")
@click.argument("inputs", nargs=-1, required=True)
@click.option("--source", help="Name of the source in ids and columns.  [default: name of the dataset]")
@describing
@building
def command(inputs: tuple[str, ...], **flags: Any) -> int:
    """Make the OCR-intensive set from INPUTS: PDFs and folders of PDFs."""
    import os

    from sphinx_data.executors import plan
    from sphinx_data.ocr import build

    name = flags["name"] or os.path.basename(os.path.abspath(flags["out"]))
    options = parameters(build.Options, flags["settings"], flags | {"source": flags["source"] or name})
    return execute(
        Build(
            builder="build-ocr",
            options=options,
            inputs=[plan.Input(name=os.path.basename(os.path.abspath(place))) for place in inputs],
            records=lambda: build.records(inputs, options),
            weight=lambda record: max(record.size, 0),
            record=build.Record,
            produce=build.produce,
            places=build.places(inputs),
        ),
        flags,
    )
