"""``sphinx-data formats``."""

import click


@click.command("formats")
def command() -> None:
    """List the formats that convert knows."""
    from sphinx_data.convert import descriptions

    for name, line in descriptions().items():
        click.echo(f"{name:<14}  {line}")
