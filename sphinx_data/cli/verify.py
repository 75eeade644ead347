"""``sphinx-data verify``."""

import click

from sphinx_data.cli.mix import roots


@click.command("verify")
@click.argument("directory")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where sources are sought.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON a finding.")
def command(directory: str, root: dict[str, str], as_json: bool) -> int:
    """Check every byte of a dataset; status 3 when something is not as it was written."""
    import msgspec

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.dataset.verify import verify

    dataset = open_dataset(directory, root)
    count = 0
    for finding in verify(dataset):
        count += 1
        click.echo(msgspec.json.encode(finding) if as_json else f"{finding.file}: {finding.rule}: {finding.detail}")
    click.echo(f"{directory}: {len(dataset):,} samples, {count or 'no'} findings", err=True)
    return 3 if count else 0
