"""``sphinx-model``: make models and look at them. Commands import what they need when they run."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from sphinx_data.errors import InputError, SphinxError, UsageError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Make, inspect and convert SPHINX models."""
    context.obj = debug


@cli.command()
@click.argument("preset")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory to write; must not exist yet.")
@click.option("--text", multiple=True, type=click.Path(path_type=Path), help="Text to train the tokenizer on.")
@click.option("--tokenizer", "tokenizer_dir", type=click.Path(path_type=Path), help="Or a saved tokenizer.")
@click.option("--template", "template_name", default="sphinx", show_default=True, help="Chat template.")
@click.option("--vocab", default=4096, show_default=True, help="Size of a trained vocabulary, at most.")
@click.option("--seed", default=0, show_default=True, help="Seed of the weights.")
def init(
    preset: str,
    out: Path,
    text: tuple[Path, ...],
    tokenizer_dir: Path | None,
    template_name: str,
    vocab: int,
    seed: int,
) -> None:
    """Write a model of PRESET with random weights, and its processor."""
    if bool(text) == bool(tokenizer_dir):
        raise UsageError("init: give either --text FILE (to train a tokenizer on) or --tokenizer DIR, not both.")
    if out.exists():
        raise UsageError(f"init: --out {out} exists already; choose another directory or remove it.")
    from sphinx_model import presets
    from sphinx_model.tokenizer import template, train_tokenizer

    if preset not in presets.PRESETS:
        raise UsageError(f"init: no preset {preset!r}; known: {', '.join(presets.PRESETS)}.")
    try:
        chat_template = template(template_name)
    except ValueError as error:
        raise UsageError(f"init: --template: {error}.") from None
    tokenizer: Any
    if tokenizer_dir:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
        except (OSError, ValueError) as error:
            raise InputError(f"init: --tokenizer {tokenizer_dir} holds no tokenizer: {_first_line(error)}") from None
    else:
        tokenizer = train_tokenizer((line for path in text for line in _lines(path)), vocab)
    try:
        model, processor = presets.build(preset, tokenizer, chat_template, seed)
    except ValueError as error:
        raise UsageError(f"init: {error}.") from None
    model.save_pretrained(out)
    processor.save_pretrained(out)
    click.echo(f"{out}: {preset}, {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")


@cli.command()
@click.argument("model")
@click.option("--size", "sizes", multiple=True, default=("640x480", "1000x500"), help="Image size WxH to lay out.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def info(model: str, sizes: tuple[str, ...], as_json: bool) -> None:
    """Show parameters by part, and views and tokens of given image sizes, of a directory or preset MODEL."""
    pairs = [_size(size) for size in sizes]
    config = _config(model)
    import torch

    from sphinx_model.modeling_sphinx import SphinxForConditionalGeneration

    with torch.device("meta"):
        network: Any = SphinxForConditionalGeneration(config)
    network.tie_weights()
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.model.named_children()}
    head = 0 if config.tie_word_embeddings else sum(p.numel() for p in network.lm_head.parameters())
    parts = {**parts, "lm_head": head}
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    rows = [(width, height, config.layout(width, height)) for width, height in pairs]
    if as_json:
        layouts = [
            {"width": w, "height": h, "views": len(x.views), "skips": len(x.skips), "tokens": x.tokens}
            for w, h, x in rows
        ]
        click.echo(json.dumps({"parameters": parts, "trained": trained, "layouts": layouts}))
        return
    click.echo(f"{model}: {config.canvas} canvas of {config.grid} x {config.grid} views of {config.view_size} pixels")
    for name, count in [*parts.items(), ("all", sum(parts.values())), ("trained", trained)]:
        click.echo(f"  {name:<16} {count:>16,}")
    for width, height, layout in rows:
        views, skips = len(layout.views), len(layout.skips)
        click.echo(f"  {width}x{height}: {views} views, {skips} skipped, {layout.tokens} tokens")


def _config(model: str) -> Any:
    """The configuration of a directory or preset; presets that need a tokenizer are shown with 4,096 tokens."""
    if Path(model).is_dir():
        from sphinx_model.configuration_sphinx import SphinxConfig

        try:
            return SphinxConfig.from_pretrained(model)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"info: {model} is no SPHINX model: {_first_line(error)}") from None
    from sphinx_model.presets import PRESETS
    from sphinx_model.tokenizer import train_tokenizer

    if model not in PRESETS:
        raise UsageError(f"info: {model!r} is neither a directory nor a preset; presets: {', '.join(PRESETS)}.")
    tokenizer: Any = train_tokenizer([])
    config: Any = PRESETS[model](tokenizer)
    config.text_config.vocab_size = 4096
    return config


def _lines(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"init: --text {path} cannot be read: {_first_line(error)}") from None


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"info: --size {text!r} is not WIDTHxHEIGHT in pixels, e.g. 640x480.")
    return int(width), int(height)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; expected errors become one sentence and an exit status (2 usage, 3 input)."""
    try:
        sys.exit(cli.main(arguments, prog_name="sphinx-model", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except SphinxError as error:
        if "--debug" in (sys.argv[1:] if arguments is None else arguments):
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
