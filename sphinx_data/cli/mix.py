"""``sphinx-data mix``."""

import click

from sphinx_data.errors import UsageError


def roots(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``--root PLACE`` and ``--root NAME=PLACE`` as a mapping; the plain place has the name ''."""
    return dict(value.split("=", 1) if "=" in value else ("", value) for value in values)  # type: ignore[misc]


@click.command("mix")
@click.argument("recipe", required=False)
@click.option("--locked", metavar="FILE", help="Rebuild the mix of a lock, or name the first difference.")
@click.option("--root", multiple=True, callback=roots, metavar="PLACE|NAME=PLACE", help="Where datasets are sought.")
@click.option("--out", required=True, metavar="DIR", help="The mix to make.")
@click.option("--overwrite", is_flag=True, help="Replace a mix that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the lock as one line of JSON.")
def command(
    recipe: str | None, locked: str | None, root: dict[str, str], out: str, overwrite: bool, as_json: bool
) -> None:
    """Mix datasets by RECIPE, a YAML file: a virtual dataset in training order, its holdout and its lock."""
    import os

    import msgspec

    from sphinx_data.executors.build import prepare
    from sphinx_data.mix import build, lock
    from sphinx_data.mix.recipe import load

    if (recipe is None) == (locked is None):
        raise UsageError("mix: give a RECIPE or --locked FILE, one of them")
    expected = lock.load(locked) if locked else None
    wanted = expected.recipe if expected else load(str(recipe))
    place = os.path.abspath(out)
    prepare(place, overwrite=overwrite)
    made = build.build(wanted, place, root, str(locked or recipe), expected)
    if as_json:
        click.echo(msgspec.json.encode(made))
        return
    click.echo(
        f"{'source':<24}{'rows':>10}{'samples':>10}{'epochs':>8}{'asked':>8}{'samples':>9}{'images':>8}{'text':>8}"
    )
    for source in made.sources:
        asked = "" if source.requested is None else f"{source.requested:.1%}"
        shares = source.realised
        click.echo(
            f"{source.name:<24}{source.selected:>10,}{source.samples:>10,}{source.epochs:>8.2f}{asked:>8}"
            f"{shares['samples']:>9.1%}{shares['images']:>8.1%}{shares['target_chars']:>8.1%}"
        )
    click.echo(f"{made.samples:,} samples, {made.holdout_samples:,} held out; fingerprint {made.fingerprint}")
