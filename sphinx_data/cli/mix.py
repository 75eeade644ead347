"""``sphinx-data mix``."""

from typing import TYPE_CHECKING

import click

from sphinx_data.errors import UsageError

if TYPE_CHECKING:
    from sphinx_data.mix.lock import Lock


def roots(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``--root PLACE`` and ``--root NAME=PLACE`` as a mapping; the plain place has the name ''."""
    return dict(value.split("=", 1) if "=" in value else ("", value) for value in values)  # type: ignore[misc]


@click.command("mix")
@click.argument("recipe", required=False)
@click.option("--locked", metavar="FILE", help="Rebuild the mix of a lock, or name the differences.")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where datasets are sought.")
@click.option("--out", metavar="DIR", help="The mix to make.")
@click.option("--present", is_flag=True, help="Leave out sources that are not there; the others share their weight.")
@click.option("--dry-run", is_flag=True, help="Say what it holds and costs; write nothing.")
@click.option("--overwrite", is_flag=True, help="Replace a mix that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print lock and summary as one line of JSON.")
def command(
    recipe: str | None, locked: str | None, root: dict[str, str], out: str | None, present: bool, dry_run: bool,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Mix datasets by RECIPE: a virtual dataset in training order, its holdout and its lock.

    RECIPE is a YAML file, or the name of a preset: cambrian, dcvlm, mm1, mm1.5, mm1.5-sft, sphinx-v1-stage1,
    sphinx-v1-stage2, sphinx-x, sqrt, unimax.
    """
    import os

    from sphinx_data.executors.build import prepare
    from sphinx_data.mix import build, find, lock
    from sphinx_data.mix.recipe import load, preset

    if (recipe is None) == (locked is None):
        raise UsageError("mix: give a RECIPE or --locked FILE, one of them")
    if out is None and not dry_run:
        raise UsageError("mix: give --out DIR, or --dry-run to see what the mix would hold")
    expected = lock.load(locked) if locked else None
    place = locked or preset(str(recipe))
    wanted = expected.recipe if expected else load(place)
    target = os.path.abspath(out or ".")
    if not dry_run:
        prepare(target, overwrite=overwrite)
    if dry_run and not present and expected is None:
        present = _tell_missing(find.missing(wanted, root))
    made = build.build(wanted, target, root, place, expected, present=present, dry_run=dry_run)
    _show(made, target, as_json)


def _tell_missing(names: list[str]) -> bool:
    """Say which sources are not there; a dry run goes on without them."""
    if names:
        click.echo(
            f"mix: {len(names)} sources are not there: {', '.join(names)}; "
            "what follows is a mix of the others, as --present makes it",
            err=True,
        )
    return bool(names)


def _show(made: "Lock", target: str, as_json: bool) -> None:
    import msgspec

    from sphinx_data.mix import price

    if as_json:
        click.echo(
            msgspec.json.encode({**msgspec.to_builtins(made, str_keys=True), "summary": price.summary(made, target)})
        )
    else:
        click.echo(price.text(made, target))
