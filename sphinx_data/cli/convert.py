"""``sphinx-data convert``."""

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from sphinx_data.cli.common import Build, building, describing, execute, make, parameters, show
from sphinx_data.errors import InputError, UsageError

if TYPE_CHECKING:
    from sphinx_data.sources.conversion import Conversion

_NAMED = 20  # classes in a message


@click.command("convert")
@click.argument("annotations", nargs=-1)
@click.option("--format", "format_name", help="Name of the format, see sphinx-data formats.  [default: recognised]")
@click.option("--images", metavar="DIR", help="Folder of the pictures.  [default: that of the first annotation file]")
@click.option("--source", help="Name of the source in ids and columns; with --root a source of the catalogue.")
@click.option("--root", metavar="DIR", help="Instead of ANNOTATIONS: convert what `download` put below DIR.")
@click.option("--dataset", help="With --root: which dataset, where a source gives several.")
@click.option("--limit", type=click.IntRange(0), help="At most so many records, a seeded subset.")
@click.option("--decode", is_flag=True, help="Decode every picture once, to find damaged pixels.")
@describing
@building
@click.pass_context
def command(
    context: click.Context, annotations: tuple[str, ...], format_name: str | None, images: str | None,
    root: str | None, dataset: str | None, **flags: Any,
) -> int:  # fmt: skip
    """Turn ANNOTATIONS in a published format, or a downloaded source, into a dataset."""
    if root is None:
        if dataset is not None:
            raise UsageError("--dataset: goes with --source NAME --root DIR")
        if flags["out"] is None:
            raise click.UsageError("Missing option '--out'.")
        if not annotations:
            raise UsageError("give ANNOTATIONS, or --source NAME --root DIR for what was downloaded")
        if images is not None and "://" not in images and not os.path.isdir(images):
            raise InputError(f"--images {images}: is no folder that exists")
        return execute(_build(annotations, format_name, images, flags, {}), flags)
    if annotations or format_name or images:
        raise UsageError("--root: reads what was downloaded, as the catalogue says; leave out ANNOTATIONS, --format "
                         "and --images, or leave out --root")  # fmt: skip
    if not flags["source"]:
        raise UsageError("--root: goes with --source NAME, a source of the catalogue (sphinx-data sources list)")
    return _downloaded(context, root, dataset, flags)


# a downloaded source has a name that its dataset can take
next(option for option in command.params if option.name == "out").required = False


def _build(
    annotations: tuple[str, ...], format_name: str | None, images: str | None, flags: dict[str, Any],
    options: dict[str, Any],
) -> Build:  # fmt: skip
    """What to build; `options` are parameters that no flag gives."""
    from sphinx_data import storage
    from sphinx_data.convert import Inputs, load
    from sphinx_data.executors import plan

    inputs = Inputs(tuple(annotations), images)
    for place in annotations:
        found = storage.local(place)
        if found.exists() and not (found.is_file() or found.is_dir()):  # a pipe would be waited for without end
            raise InputError(f"{place}: is neither a file nor a folder; write it to a file, it is read more than once")
    if format_name is None:
        from sphinx_data.convert._recognise import recognise

        format_name = recognise(inputs)
    module = load(format_name)
    name = flags["name"] or os.path.basename(os.path.abspath(flags["out"]))
    made = parameters(module.Options, flags["settings"], options | flags | {"source": flags["source"] or name})
    if classes := getattr(made, "classes", None):
        _check_classes(classes, module, inputs)
    return Build(
        builder=f"convert/{format_name}",
        options=made,
        inputs=[
            plan.Input(name=os.path.basename(os.path.abspath(place))) if storage.local(place).is_dir()
            else plan.annotation(place)
            for place in annotations
        ],
        records=lambda: module.records(inputs, made),
        weight=lambda record: record.weight,
        record=module.Record,
        produce=module.produce,
        places=inputs.places(),
        reads=annotations,
    )  # fmt: skip


def _check_classes(classes: dict[str, str | None], module: ModuleType, inputs: Any) -> None:
    """Raises UsageError for a class that the annotations do not have."""
    if not hasattr(module, "class_names"):
        return
    known = sorted(set(module.class_names(inputs)))
    for name in classes:
        if name not in known:
            several = ", ".join(known[:_NAMED]) + (f" and {len(known) - _NAMED} more" if len(known) > _NAMED else "")
            raise UsageError(f"--set classes.{name}: there is no such class; there are {several}")


def _downloaded(context: click.Context, root: str, dataset: str | None, flags: dict[str, Any]) -> int:
    """Convert a source of the catalogue; flags that a person gave go before what the catalogue says."""
    from sphinx_data.sources.conversion import resolve

    found = resolve(flags["source"], root, dataset)
    given = {key for key in flags if context.get_parameter_source(key) == click.core.ParameterSource.COMMANDLINE}
    known = {key: value for key, value in found.known().items() if value is not None and key not in given}
    flags = flags | known | {"source": found.dataset, "name": flags["name"] or found.dataset,
                             "out": flags["out"] or found.dataset}  # fmt: skip
    if found.entry.format.startswith("build-"):
        return _by_builder(found, flags)
    settings = [setting.partition("=")[0] for setting in flags["settings"]]
    options = {key: value for key, value in found.entry.options.items() if key not in settings}
    build = _build(found.annotations, found.entry.format, found.images, flags, options)
    if flags["dry_run"]:
        return execute(build, flags)
    made = make(build, flags["out"], flags["name"], overwrite=flags["overwrite"], workers=flags["workers"],
                partition=flags["partition"], max_rejects=flags["max_rejects"])  # fmt: skip
    if made["complete"] and (note := found.compare(made["samples"])) is not None:
        made["expected"] = note
    show(made, flags["as_json"])
    return 0


def _by_builder(found: "Conversion", flags: dict[str, Any]) -> int:
    """Hand the files to the command that builds such datasets."""
    from importlib import import_module

    name = found.entry.format
    builder: click.Command = import_module(f"sphinx_data.cli.{name.replace('-', '_')}").command
    known = {option.name: option for option in builder.params if isinstance(option, click.Option)}
    words = list(found.annotations)
    for key, value in flags.items():
        option = known.get(key)
        if option is None or value in (None, False, (), "") or key == "settings":
            continue
        text = "/".join(map(str, value)) if key == "partition" else str(value)
        words += [option.opts[0]] if option.is_flag else [option.opts[0], text]
    settings = [f"{key}={value}" for key, value in found.entry.options.items()] + list(flags["settings"])
    words += [word for setting in settings for word in ("--set", setting)]
    result: Any = builder.main(args=words, prog_name=name, standalone_mode=False)
    return result if isinstance(result, int) else 0
