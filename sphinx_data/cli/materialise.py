"""``sphinx-data materialise``."""

from typing import Any

import click

from sphinx_data.cli.common import Build, building, execute
from sphinx_data.cli.mix import roots


@click.command("materialise")
@click.argument("directory")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where sources are sought.")
@click.option("--max-side", type=click.IntRange(16), help="Longest side of a picture in pixels; regions follow.")
@building
def command(directory: str, root: dict[str, str], max_side: int | None, **flags: Any) -> int:
    """Write the virtual dataset DIRECTORY as shards in its order: bytes copied, pictures smaller only if asked."""
    return execute(materialising(directory, root, max_side), flags)


def materialising(directory: str, root: dict[str, str], max_side: int | None) -> Build:
    """The build of a virtual dataset's shards."""
    import os

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.executors import plan
    from sphinx_data.mix import materialise

    dataset = open_dataset(directory, root)
    sources = {f"root:{name}": os.path.abspath(place) for name, place in root.items()}
    return Build(
        builder="materialise",
        options=materialise.Options(max_side=max_side),
        inputs=[plan.Input(name=dataset.name, xxh3=dataset.fingerprint)],
        records=lambda: materialise.records(dataset),
        weight=lambda record: record.weight,
        record=materialise.Record,
        produce=materialise.produce,
        places={"dataset": os.path.abspath(directory), **sources},
    )
