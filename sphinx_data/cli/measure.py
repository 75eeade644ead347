"""``sphinx-data measure``."""

import os

import click

from sphinx_data.cli.mix import roots
from sphinx_data.errors import UsageError


class _Command(click.Command):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from sphinx_data.curate.measures import descriptions

        with formatter.section("Measures"):
            formatter.write_dl(list(descriptions().items()))


@click.command("measure", cls=_Command)
@click.argument("directory")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--function", metavar="PACKAGE.MODULE:NAME", help="Also a function of yours: Example -> dict of values.")
@click.option("--name", metavar="NAME", help="Column of the function.  [default: the function's name]")
@click.option("--columns", "place", metavar="PLACE", help="Folder of the columns.  [default: DIR/columns]")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where sources are sought.")
@click.option("--workers", default=len(os.sched_getaffinity(0)), show_default=True, type=click.IntRange(1))
@click.option("--force", is_flag=True, help="Make columns again that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a column.")
def command(
    directory: str, names: tuple[str, ...], function: str | None, name: str | None, place: str | None,
    root: dict[str, str], workers: int, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure the samples of DIRECTORY: one column a NAME, for the conditions of mixes (where: "sharpness.score > 20").

    Run the same command again to finish what was interrupted.
    """
    import msgspec

    from sphinx_data.curate.describe import describe, text
    from sphinx_data.curate.measure import Wanted, check_name
    from sphinx_data.curate.measures import measure_names
    from sphinx_data.curate.run import run
    from sphinx_data.dataset.reader import open_dataset

    wanted = [Wanted(name) for name in dict.fromkeys(names)]
    if function is not None:
        column = name or function.rpartition(":")[2]
        check_name(column)
        wanted.append(Wanted(column, function))
    elif name is not None:
        raise UsageError(f"--name {name}: names the column of a --function, which is missing")
    if not wanted:
        raise UsageError(f"measure: give a NAME ({', '.join(measure_names())}) or --function")
    found = run(directory, wanted, root, place, workers, force)
    dataset = open_dataset(directory, root)
    for info in found:
        facts = describe(dataset, info, place)
        click.echo(msgspec.json.encode(facts) if as_json else text(facts))
