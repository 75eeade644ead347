"""``sphinx-data diff``."""

import click

from sphinx_data.cli.mix import roots


@click.command("diff")
@click.argument("one")
@click.argument("other")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where sources are sought.")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as one line of JSON.")
def command(one: str, other: str, root: dict[str, str], as_json: bool) -> None:
    """Say what differs between ONE and OTHER, two datasets, mixes or lock files, and by how much."""
    import msgspec

    from sphinx_data.mix import compare

    sides = compare.side(one), compare.side(other)
    found = compare.compare(*sides, root)
    click.echo(msgspec.json.encode(found) if as_json else compare.text(*sides, found))
