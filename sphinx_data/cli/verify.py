"""``sphinx-data verify``."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import click

from sphinx_data.cli.mix import roots

if TYPE_CHECKING:
    from sphinx_data.dataset.reader import Dataset
    from sphinx_data.dataset.verify import Finding


@click.command("verify")
@click.argument("directory")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where sources are sought.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON a finding.")
def command(directory: str, root: dict[str, str], as_json: bool) -> int:
    """Check every byte of a dataset; status 3 when something is not as it was written.

    Of a mix also its lock and its holdout; its sources are datasets to verify by themselves.
    """
    import msgspec

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.dataset.verify import verify

    dataset = open_dataset(directory, root)
    count = 0
    for finding in chain(verify(dataset), _of_mix(dataset, root)):
        count += 1
        click.echo(msgspec.json.encode(finding) if as_json else f"{finding.file}: {finding.rule}: {finding.detail}")
    click.echo(f"{directory}: {len(dataset):,} samples, {count or 'no'} findings", err=True)
    return 3 if count else 0


def _of_mix(dataset: "Dataset", root: dict[str, str]) -> "Iterator[Finding]":
    """Findings of a mix's lock and holdout."""
    import msgspec

    from sphinx_data import storage
    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.dataset.verify import Finding, verify
    from sphinx_data.errors import InputError
    from sphinx_data.mix import lock

    if dataset.description.builder != "mix" or not dataset.description.virtual:
        return
    holdout = storage.join(dataset.directory, "holdout")
    below = storage.join(dataset.directory, lock.FILE)
    if not storage.exists(below) and dataset.directory.rstrip("/").endswith("/holdout"):
        return  # a holdout by itself: the lock is its mix's
    try:
        locked = lock.load(below)
    except InputError as error:
        yield Finding(file=lock.FILE, rule="lock-damaged", detail=str(error))
        return
    if locked.fingerprint != dataset.fingerprint:
        yield Finding(file=lock.FILE, rule="lock-disagrees", detail="its fingerprint is not the one in dataset.json")
    if locked.holdout_fingerprint is None:
        return
    try:
        held = open_dataset(holdout, root)
        for finding in verify(held):
            yield msgspec.structs.replace(finding, file=f"holdout/{finding.file}")
    except InputError as error:
        yield Finding(file="holdout/dataset.json", rule="file-missing", detail=str(error))
        return
    if held.fingerprint != locked.holdout_fingerprint:
        detail = "the fingerprint of the holdout is not the one in the lock"
        yield Finding(file=lock.FILE, rule="lock-disagrees", detail=detail)
