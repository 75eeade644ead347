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
    """Write the virtual dataset DIRECTORY as shards in its order: bytes copied, pictures smaller only if asked.

    A mix whose recipe says merge_by has turns about one picture in one sample.
    """
    return execute(materialising(directory, root, max_side), flags)


def materialising(directory: str, root: dict[str, str], max_side: int | None) -> Build:
    """The build of a virtual dataset's shards."""
    import os

    import msgspec

    from sphinx_data import storage
    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.executors import plan
    from sphinx_data.mix import groups, lock, materialise

    dataset = open_dataset(directory, root)
    sources = {f"root:{name}": os.path.abspath(place) for name, place in root.items()}
    locked = storage.join(directory, lock.FILE)
    merges = storage.exists(locked) and lock.load(locked).recipe.merge_by == "image"
    merged = groups.by_image(dataset) if merges else None
    return Build(
        builder="materialise",
        options=materialise.Options(max_side=max_side, merge=merged and merged.counts),
        inputs=[plan.Input(name=dataset.name, xxh3=dataset.fingerprint)],
        records=lambda: materialise.records(dataset, merged),
        weight=lambda record: record.weight,
        record=materialise.Record,
        produce=materialise.produce,
        places={"dataset": os.path.abspath(directory), **sources},
        reads=tuple(source.directory for source in dataset.sources),
        notes={"merge": msgspec.to_builtins(merged.counts)} if merged else {},
    )
