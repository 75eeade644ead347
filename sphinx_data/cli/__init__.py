"""``sphinx-data``: one small file a command; this one only knows their names, so that ``--help`` starts at once."""

import sys
from importlib import import_module
from typing import Any

import click

from sphinx_data import __version__
from sphinx_data.errors import SphinxError

# name: (module, one line for --help); a static table keeps numpy, pyarrow and Pillow out of the start
COMMANDS = {
    "sources": ("sources", "List what the papers used: sizes, licences, where it comes from."),
    "download": ("download", "Download sources, or the pictures of a list of URLs."),
    "convert": ("convert", "Turn a published format into a dataset."),
    "build-ocr": ("build_ocr", "Make the OCR-intensive set from PDFs, scans and photos of text."),
    "ask-pages": ("ask_pages", "Have a model ask about the pages of build-ocr."),
    "rejected": ("rejected", "Show the pages that build-ocr dropped, by rule."),
    "build-som": ("build_som", "Make Set-of-Mark data from images with masks or boxes."),
    "measure": ("measure", "Measure samples: columns that selections need."),
    "mix": ("mix", "Mix datasets by a recipe."),
    "materialise": ("materialise", "Write a mix as shards in training order."),
    "diff": ("diff", "Say what differs between two datasets, mixes or locks."),
    "inspect": ("inspect", "Show what a dataset holds, or one sample."),
    "report": ("report", "Write a page to look at and a data card for a dataset."),
    "verify": ("verify", "Check every byte of a dataset."),
    "formats": ("formats", "List the formats that convert knows."),
}


# module: the extra that brings it
EXTRAS = {
    "aiohttp": "download",
    "pycurl": "download",
    "huggingface_hub": "download",
    "pypdfium2": "ocr",
    "torch": "train",
    "transformers": "train",
    "tokenizers": "train",
    "safetensors": "train",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"sphinx_data.cli.{COMMANDS[name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sphinx-data")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(debug: bool) -> None:
    """Datasets for multimodal LLMs: convert, build, mix, inspect, verify."""


def main() -> None:
    """Entry point; exit statuses are those of docs/contracts.md, section 5."""
    sys.exit(run(group, sys.argv[1:], "sphinx-data"))


def run(command: click.Command, arguments: list[str], name: str) -> int:
    """Run a command and turn every error into one line on stderr and an exit status."""
    debug = "--debug" in arguments
    try:
        result: Any = command.main(args=arguments, prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return _say(name, "interrupted; run the same command again to go on", 130)
    except click.ClickException as error:
        return _say(name, f"{error.format_message()} (see {name} --help)", error.exit_code)
    except KeyboardInterrupt:
        return _say(name, "interrupted; run the same command again to go on", 130)
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        sys.stderr.close()
        return 0
    except ModuleNotFoundError as error:
        if debug or error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        return _say(name, f"{error.name} is not installed: pip install 'sphinx-mllm[{extra}]'", 2)
    except SphinxError as error:
        if debug:
            raise
        return _say(name, str(error), error.exit_status)
    except Exception as error:
        if debug:
            raise
        return _say(name, f"internal error: {type(error).__name__}: {error} (--debug shows where)", 1)


def _say(name: str, message: str, status: int) -> int:
    click.echo(f"{name}: {' '.join(message.split())}", err=True)
    return status
