"""``sphinx-data report``."""

import click

from sphinx_data.cli.mix import roots


@click.command("report")
@click.argument("directory")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where sources are sought.")
@click.option("--examples", default=200, show_default=True, type=click.IntRange(0), help="Samples in the gallery.")
@click.option("--lengths", metavar="NAME", help="The only column of lengths to show.  [default: all]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Which samples are shown.")
@click.option("--out", metavar="FILE", help="The page; the card goes beside it as .md.  [default: DIR/report.html]")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON: the files and every number.")
def command(
    directory: str, root: dict[str, str], examples: int, lengths: str | None, seed: int, out: str | None, as_json: bool
) -> None:
    """Write a page to look at, report.html, and a data card, README.md, for DIRECTORY."""
    import msgspec

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.report import report

    found = report(open_dataset(directory, root), examples=examples, lengths=lengths, seed=seed, out=out)
    if as_json:
        numbers = msgspec.to_builtins(found.summary, str_keys=False)
        numbers["crossed"] = [[*pair, count] for pair, count in found.summary.crossed.items()]
        numbers["sizes"] = [[*cell, count] for cell, count in found.summary.sizes.items()]
        click.echo(msgspec.json.encode({"page": found.page, "card": found.card, "summary": numbers}))
        return
    total = found.summary.total
    click.echo(
        f"{found.page}  {found.page_bytes / 1e6:.1f} MB, {total.samples:,} samples counted, {found.examples:,} shown"
    )
    click.echo(found.card or f"{directory}/README.md is not of this command and was left as it is")
