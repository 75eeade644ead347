"""``sphinx-data build-som``: from a dataset, or from annotations with a converter put in front."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sphinx_data.cli.common import Build, building, describing, make, parameters, show
from sphinx_data.errors import UsageError

if TYPE_CHECKING:
    from sphinx_data.answers import Record as Answers
    from sphinx_data.sample import Built, Reject
    from sphinx_data.som.build import Options


class Composed(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a converter and of the marks that follow it."""

    format: str
    convert: dict[str, Any]
    som: dict[str, Any]


def convert(record: Any, options: Composed, places: dict[str, str]) -> "Iterator[Built | Reject]":
    """The converter's own samples of a record."""
    from sphinx_data.convert import load

    module = load(options.format)
    found: Iterator[Built | Reject] = module.produce(record, msgspec.convert(options.convert, module.Options), places)
    return found


def produce(record: Any, options: Composed, places: dict[str, str]) -> "Iterator[Built | Reject]":
    """Convert a record and mark what comes out."""
    from sphinx_data.som import build

    marking = msgspec.convert(options.som, build.Options)
    return build.mark(convert(record, options, places), marking, build.answers_at(places))


def _panels(context: click.Context, parameter: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    low, dots, high = value.partition("..")
    if not (low.isdigit() and (high.isdigit() or not dots)) or not 2 <= int(low) <= int(high or low) <= 4:
        raise click.BadParameter(f"{value!r}: give a number from 2 to 4, or a range, e.g. 2..4")
    return [int(low), int(high or low)]


@click.command("build-som")
@click.argument("dataset", required=False)
@click.option("--annotations", multiple=True, metavar="PLACE", help="Annotation files or folders, in place of DATASET.")
@click.option("--format", "format_name", help="Their format, see sphinx-data formats.  [default: recognised]")
@click.option("--images", metavar="DIR", help="Folder of the pictures.  [default: that of the first annotation file]")
@click.option(
    "--sam-checkpoint",
    metavar="PLACE",
    help="DATASET is a folder of photos; segment them with this SAM checkpoint first.",
)
@click.option("--masks", metavar="DIR", help="With --sam-checkpoint: where its masks are kept.  [default: OUT.masks]")
@click.option(
    "--sam-set", multiple=True, metavar="KEY=VALUE", help="Options of sphinx-model masks, e.g. points=16; repeatable."
)
@click.option("--source", help="Name of the source, with --annotations.  [default: name of the dataset]")
@click.option("--limit", type=click.IntRange(0), help="At most so many pictures, a seeded subset.")
@click.option("--drawn", "form", flag_value="drawn", help="Train on pictures with the marks drawn on them.")
@click.option("--both", "form", flag_value="both", help="A sample of each form: raw picture, and drawn.")
@click.option(
    "--style", type=click.Choice(["mixed", "point", "box", "contour", "mask"]), help="Of drawn marks.  [default: mixed]"
)
@click.option(
    "--identifiers", type=click.Choice(["number", "letter", "mixed"]), help="Names of marks.  [default: number]"
)
@click.option(
    "--dialogue",
    type=click.Choice(["mixed", "naming", "questions", "both", "none"]),
    help="Made from the annotation.  [default: mixed]",
)
@click.option("--panels", callback=_panels, metavar="N..M", help="Compose 2 to 4 pictures of DATASET into one.")
@click.option("--annotate", metavar="PROMPTS", help="Ask a model: all, or some of short,detailed,relations,questions.")
@click.option("--model", help="With --annotate: the model's name.")
@click.option("--endpoint", metavar="URL", help="With --annotate: an OpenAI-compatible server.  [default: the record]")
@click.option("--key-variable", default="OPENAI_API_KEY", show_default=True, help="Environment variable of its key.")
@click.option("--answers", metavar="FILE", help="Record of the model's answers.  [default: OUT.answers.jsonl]")
@click.option("--parallel", default=8, show_default=True, type=click.IntRange(1), help="Requests at a time.")
@click.option("--timeout", default=120.0, show_default=True, type=click.FloatRange(1), help="Seconds for an answer.")
@click.option(
    "--price", nargs=2, type=click.FloatRange(0), metavar="IN OUT", help="Per million tokens, to report the cost."
)
@click.option(
    "--reread",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Read the labels of so many of the drawn pictures back with the OCR engine.",
)
@describing
@building
def command(dataset: str | None, annotations: tuple[str, ...], **flags: Any) -> int:
    """Make Set-of-Mark data from DATASET, whose samples have regions, or from annotations, or from photos alone."""
    if flags["sam_checkpoint"]:
        dataset, annotations = None, _segmented(dataset, annotations, flags)
    elif flags["masks"] or flags["sam_set"]:
        raise UsageError("--masks and --sam-set: belong to --sam-checkpoint; masks that exist are --annotations DIR")
    if bool(dataset) == bool(annotations):
        raise UsageError("build-som: give a DATASET, or --annotations PLACE")
    if flags["reread"] and flags["form"] is None:
        raise UsageError("--reread: reads drawn labels; give --drawn or --both")
    build, read, marking = _from_dataset(dataset, flags) if dataset else _from_annotations(annotations, flags)
    if flags["dry_run"]:
        weights = [build.weight(record) for record in build.records()]
        show({"records": len(weights), "bytes": sum(weights), "out": flags["out"]}, flags["as_json"])
        return 0
    asked = _ask(build, read, marking, flags) if marking.annotate is not None else {}
    made = make(
        build, flags["out"], flags["name"], overwrite=flags["overwrite"], workers=flags["workers"],
        partition=flags["partition"], max_rejects=flags["max_rejects"],
    )  # fmt: skip
    show(made | asked | (_checked(flags) if made["complete"] else {}), flags["as_json"])
    return 0


def _segmented(photos: str | None, annotations: tuple[str, ...], flags: dict[str, Any]) -> tuple[str, ...]:
    """The folder of masks of a folder of photos, made by the model half in a process of its own; sets its flags."""
    import os
    import subprocess
    import sys
    from importlib.util import find_spec

    if photos is None or annotations or flags["format_name"]:
        raise UsageError("--sam-checkpoint: goes with a folder of photos, without --annotations and --format")
    if os.path.exists(os.path.join(photos, "dataset.json")):
        raise UsageError(f"--sam-checkpoint: {photos} is a dataset; give the folder of photos that it was made from")
    for flag in ("limit", "images"):
        if flags[flag] is not None:
            raise UsageError(f"--{flag}: does not go with --sam-checkpoint; every photo of the folder is segmented")
    if flags["partition"] != (0, 1) or flags["dry_run"]:
        raise UsageError("--sam-checkpoint: run sphinx-model masks first, then build-som --annotations MASKS")
    if any(find_spec(name) is None for name in ("torch", "transformers")):
        raise UsageError("--sam-checkpoint: needs torch and transformers; pip install 'sphinx-mllm[train]'")
    masks = flags["masks"] or f"{flags['out'].rstrip('/')}.masks"
    step = [sys.executable, "-m", "sphinx_model.cli", "masks", photos, "--checkpoint", flags["sam_checkpoint"]]
    for item in flags["sam_set"]:
        key, equals, value = item.partition("=")
        if not (key and equals):
            raise UsageError(f"--sam-set {item}: is not KEY=VALUE, e.g. points=16; see sphinx-model masks --help")
        step += [f"--{key.replace('_', '-')}", value]
    done = subprocess.run([*step, "--out", masks], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.returncode if done.returncode > 0 else 130)  # it has said why
    flags |= {"images": photos, "format_name": "sa1b"}
    return (masks,)


def _options(flags: dict[str, Any]) -> "Options":
    """The parameters of the marks."""
    from sphinx_data.som.annotate import PROMPTS
    from sphinx_data.som.build import Options

    known = dict(flags)
    settings = flags["settings"]
    known["annotate"] = None
    if flags["annotate"]:
        if not flags["model"]:
            raise UsageError("--annotate: say which model is asked with --model NAME")
        wanted = PROMPTS if flags["annotate"] == "all" else tuple(flags["annotate"].split(","))
        known["annotate"] = {"model": flags["model"], "prompts": wanted}
    elif given := [f"--{key}" for key in ("model", "endpoint", "answers") if flags[key]]:
        raise UsageError(f"{' and '.join(given)}: belong to a model's answers; say what to ask with --annotate PROMPTS")
    options = parameters(Options, settings, known)
    if options.dialogue == "none" and options.annotate is None:
        raise UsageError("--dialogue none: leaves nothing to say; give --annotate PROMPTS too")
    return options


def _from_dataset(directory: str, flags: dict[str, Any]) -> tuple[Build, Callable[[Any], Any], "Options"]:
    import os

    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.executors import plan
    from sphinx_data.som import build

    dataset = open_dataset(directory)
    options = _options(flags)
    if not options.vocabulary:
        options = msgspec.structs.replace(options, vocabulary=build.dataset_vocabulary(dataset))
    places = {"dataset": os.path.abspath(directory)}
    made = Build(
        builder="build-som",
        options=options,
        inputs=[plan.Input(name=dataset.name, xxh3=dataset.fingerprint)],
        records=lambda: build.records(dataset, options),
        weight=lambda record: record.weight,
        record=build.Record,
        produce=build.produce,
        places=places,
        reads=tuple(source.directory for source in dataset.sources),
    )
    return made, lambda record: build.read(record, options, places), options


def _from_annotations(
    annotations: tuple[str, ...], flags: dict[str, Any]
) -> tuple[Build, Callable[[Any], Any], "Options"]:
    import os

    from sphinx_data import storage
    from sphinx_data.convert import Inputs, load
    from sphinx_data.executors import plan

    if flags["panels"]:
        raise UsageError("--panels: composes samples of a DATASET; convert the annotations first")
    inputs = Inputs(annotations, flags["images"])
    format_name = flags["format_name"]
    if format_name is None:
        from sphinx_data.convert._recognise import recognise

        format_name = recognise(inputs)
    module = load(format_name)
    name = flags["source"] or flags["name"] or os.path.basename(os.path.abspath(flags["out"]))
    converting = parameters(module.Options, (), flags | {"source": name})
    marking = _options(flags | {"limit": None})
    if not marking.vocabulary and hasattr(module, "class_names"):
        from sphinx_data.som.build import vocabulary_of

        marking = msgspec.structs.replace(marking, vocabulary=vocabulary_of(module.class_names(inputs)))
    composed = Composed(format=format_name, convert=msgspec.to_builtins(converting), som=msgspec.to_builtins(marking))
    made = Build(
        builder=f"build-som/{format_name}",
        options=composed,
        inputs=[
            plan.Input(name=os.path.basename(os.path.abspath(place))) if storage.local(place).is_dir()
            else plan.annotation(place)
            for place in annotations
        ],
        records=lambda: module.records(inputs, converting),
        weight=lambda record: record.weight,
        record=module.Record,
        produce=produce,
        places=inputs.places(),
        reads=annotations,
    )  # fmt: skip
    return made, lambda record: convert(record, composed, inputs.places()), marking


def _ask(build: Build, read: Callable[[Any], Any], options: "Options", flags: dict[str, Any]) -> dict[str, Any]:
    """Have all answers recorded, and make the record an input of the build."""
    import os

    from sphinx_data import storage
    from sphinx_data.answers import Record as Answers
    from sphinx_data.endpoint import Client
    from sphinx_data.executors import plan
    from sphinx_data.som.ask import ask

    place = os.path.abspath(flags["answers"] or f"{flags['out'].rstrip('/')}.answers.jsonl")
    facts: dict[str, Any] = {}
    if flags["endpoint"] is not None:
        if flags["partition"] != (0, 1):
            raise UsageError("--partition: one process asks; run it once without --partition, or without --endpoint")
        answers = Answers(place, Client(flags["endpoint"], flags["key_variable"], timeout=flags["timeout"]))
        try:
            ask(build.records(), read, options, answers, flags["parallel"])
        finally:
            answers.close()
        facts = _facts(answers, flags["price"])
    elif not storage.exists(place):
        raise UsageError(
            f"--annotate: {place} does not exist; give --endpoint URL, or --answers FILE of an earlier run"
        )
    build.inputs = [*build.inputs, plan.annotation(place)]
    build.places = build.places | {"answers": place}
    build.reads = (*build.reads, place)
    return facts


def _facts(answers: "Answers", price: tuple[float, float] | None) -> dict[str, Any]:
    total = answers.totals
    facts: dict[str, Any] = {"answers": msgspec.to_builtins(total)}
    if price:
        cost = (total.prompt_tokens * price[0] + total.completion_tokens * price[1]) / 1e6
        facts["cost"] = f"{cost:.4f}"
    return facts


def _checked(flags: dict[str, Any]) -> dict[str, Any]:
    """What is looked at once the dataset is complete."""
    from sphinx_data.dataset.reader import open_dataset
    from sphinx_data.som import check

    dataset = open_dataset(flags["out"])
    counts = check.answers(dataset)
    facts: dict[str, Any] = {"balance": counts if flags["as_json"] else check.text(counts)}
    if flags["reread"]:
        from sphinx_data.engines import MEND, Models, choose, open_engine

        name = choose(None)
        if name is None:
            raise UsageError(f"--reread: no OCR engine is installed; {MEND}")
        found = check.reread(dataset, flags["reread"], open_engine(name, Models()), flags["seed"])
        facts["reread"] = {"labels": found.labels, "read": found.read}
        facts["reread rate"] = f"{found.rate:.1%}" if found.labels else "no labels"
    return facts
