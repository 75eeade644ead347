"""Options and the summary that all building commands share."""

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click
import msgspec

from sphinx_data.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_MENDS = {
    "language": "is no BCP 47 code; give one such as en or zh-Hans",
    "split": "is empty; give a name such as train",
}
Options = TypeVar("Options", bound=msgspec.Struct)


def _partition(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    share, _, shares = value.partition("/")
    if not (share.isdigit() and shares.isdigit() and int(share) < int(shares)):
        raise click.BadParameter(f"{value!r}: give i/n with 0 <= i < n, e.g. 0/4")
    return int(share), int(shares)


def _decorate(function: Function, options: list[Callable[[Function], Function]]) -> Function:
    for option in reversed(options):
        function = option(function)
    return function


def describing(function: Function) -> Function:
    """Options of commands that make samples: what is known of the data, and any other parameter."""
    return _decorate(
        function,
        [
            click.option("--license", help="SPDX licence of the data, where the input does not say."),
            click.option("--language", help="BCP 47 language of the data, e.g. en."),
            click.option(
                "--split", default="train", show_default=True, help="Split of the data, where the input does not say."
            ),
            click.option("--seed", default=0, show_default=True),
            click.option(
                "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other parameter, repeatable."
            ),
        ],
    )


def sharing(function: Function) -> Function:
    """The options that say who builds: how many processes, and which share of the parts."""
    cores = len(os.sched_getaffinity(0))
    return _decorate(
        function,
        [
            click.option("--workers", default=cores, show_default=True, type=click.IntRange(1)),
            click.option("--partition", default="0/1", callback=_partition, help="Build share i of n: i/n."),
        ],
    )


def building(function: Function) -> Function:
    """The options of every command that builds a dataset from a plan."""
    return _decorate(
        function,
        [
            click.option("--out", required=True, metavar="DIR", help="The dataset to make."),
            click.option("--name", help="Name of the dataset.  [default: name of DIR]"),
            sharing,
            click.option("--max-rejects", type=click.IntRange(0), help="Exit with status 4 above this."),
            click.option("--overwrite", is_flag=True, help="Replace a dataset that is there."),
            click.option("--dry-run", is_flag=True, help="Plan only: say what would be read."),
            click.option("--json", "as_json", is_flag=True, help="Print the summary as one line of JSON."),
        ],
    )


def parameters(kind: type[Options], settings: tuple[str, ...], known: dict[str, Any]) -> Options:
    """A builder's options from flags and ``--set KEY=VALUE``; nested keys are dotted.

    Raises UsageError naming key, value and mend.
    """
    names = {field.name for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {key: value for key, value in known.items() if value is not None and key in names}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: give KEY=VALUE")
        target = values
        *folders, last = key.split(".")
        for folder in folders:
            target = target.setdefault(folder, {})
            if not isinstance(target, dict):
                raise UsageError(f"--set {setting}: {folder} is one value, it has no keys")
        if last in target:
            raise UsageError(f"--set {setting}: {key} is given already")
        target[last] = _value(value)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(_refused(str(error), settings, known, kind)) from None


def _refused(error: str, settings: tuple[str, ...], known: dict[str, Any], kind: type[msgspec.Struct]) -> str:
    """What msgspec says of a value, with the option as it was written and the mend."""
    said, _, place = error.partition(" - at `$")
    key = place.strip("`.").partition("[")[0]
    if (unknown := _UNKNOWN.search(said)) is not None:
        names = sorted(_names(kind, key.split(".") if key else []))
        return f"--set {f'{key}.' if key else ''}{unknown[1]}: is not known; choose one of {', '.join(names)}"
    written = next((each for each in settings if each.startswith((f"{key}=", f"{key}."))), None)
    option = f"--set {written}" if written else f"--{key.replace('_', '-')} {known.get(key, '')}"
    return f"{option}: {_MENDS.get(key, said)}"


def _names(kind: Any, keys: list[str]) -> set[str]:
    """Names of the fields of a Struct, or of the one below these keys."""
    structs = [each for each in (*get_args(kind), kind) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    types = {field.name: field.type for each in structs for field in msgspec.structs.fields(each)}
    return _names(types.get(keys[0]), keys[1:]) if keys else set(types)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


class Build(msgspec.Struct, kw_only=True):
    """What a building command hands over: a builder's planning pass and its step."""

    builder: str
    options: Any
    inputs: list[Any]
    records: Callable[[], Any]
    weight: Callable[[Any], int]
    record: type[Any]
    produce: Callable[..., Any]
    places: dict[str, str]
    reads: tuple[str, ...] = ()  # what else is read: annotation files, sources of mixes
    notes: dict[str, Any] = {}  # of the planning pass, for the summary


def execute(build: Build, flags: dict[str, Any]) -> int:
    """Plan, build what is missing, print the summary; returns the exit status."""
    if flags["dry_run"]:
        records = size = 0
        for record in build.records():
            records += 1
            size += build.weight(record)
        show({"records": records, "bytes": size, "out": flags["out"], **build.notes}, flags["as_json"])
        return 0
    made = make(
        build, flags["out"], flags["name"], overwrite=flags["overwrite"], workers=flags["workers"],
        partition=flags["partition"], max_rejects=flags["max_rejects"],
    )  # fmt: skip
    show(made, flags["as_json"])
    if made.get("samples") == 0 and "image-missing" in made["rejects"]:
        click.echo("sphinx-data: no picture was found; say with --images DIR where the pictures lie", err=True)
    return 0


def make(
    build: Build, place: str, name: str | None, *, overwrite: bool, workers: int, partition: tuple[int, int],
    max_rejects: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Plan, build what is missing of this share of the parts; returns the summary.

    Args:
        build: what to build.
        place: the dataset to make.
        name: of the dataset; that of its folder by default.
        overwrite: replace a dataset that is there.
        workers: processes.
        partition: this share of so many.
        max_rejects: as `executors.build.run` takes it.
    """
    from sphinx_data import storage
    from sphinx_data.executors import build as executor
    from sphinx_data.executors import plan

    if not place:
        raise UsageError("--out is empty; name the folder of the dataset to make")
    out = os.path.abspath(storage.local(place))
    executor.prepare(out, overwrite=overwrite, reads=[*build.places.values(), *build.reads])
    made = plan.make(
        out, builder=build.builder, name=name or os.path.basename(out), parameters=build.options, inputs=build.inputs,
        records=build.records(), weight=build.weight,
    )  # fmt: skip
    task = executor.Task(build.produce, build.record, build.options, build.places)
    found = executor.run(out, made, task, executor.Settings(workers, partition, max_rejects))
    if found is None:
        return {"out": place, "complete": False, **build.notes}
    return {"out": place, "complete": True, "samples": found.samples, "images": found.images,
            "rejects": found.rejects_by_rule, "fingerprint": found.fingerprint, **build.notes}  # fmt: skip


def show(summary: dict[str, Any], as_json: bool) -> None:
    """Print a summary, as one line of JSON or for a person."""
    if as_json:
        click.echo(msgspec.json.encode(summary))
        return
    for key, value in summary.items():
        if isinstance(value, dict):
            value = ", ".join(f"{count:,} {rule}" for rule, count in sorted(value.items())) or "none"
        click.echo(f"{key:>12}  {f'{value:,}' if type(value) is int else value}")
