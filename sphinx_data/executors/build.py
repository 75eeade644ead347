"""Building: one part at a time, by anyone, in any order, any number of times; the last one completes the dataset."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from sphinx_data import storage
from sphinx_data.dataset import description, layout
from sphinx_data.dataset.reader import Example
from sphinx_data.dataset.writer import PartWriter
from sphinx_data.errors import InvalidSample, SphinxError, TooManyRejects, UsageError
from sphinx_data.executors import local, plan
from sphinx_data.executors.progress import Progress
from sphinx_data.sample import Built, Reject

_LARGE = 16 << 20  # bytes; more than any usual picture


class Stored(NamedTuple):
    """A sample to copy byte for byte, with the `content` that its index promises."""

    example: Example
    content: bytes


Item = Built | Stored | Reject


class Task(NamedTuple):
    """What every worker needs to build any part; it crosses processes, so `produce` is a top-level function."""

    produce: Callable[[Any, Any, dict[str, str]], Iterator[Item]]  # (record, options, places)
    record: type[Any]  # the Struct that records are
    options: Any  # the Struct of parameters that went into the plan
    places: dict[str, str]  # absolute roots; they never influence the result


class Settings(NamedTuple):
    """What may differ between runs of one plan."""

    workers: int = 1
    partition: tuple[int, int] = (0, 1)  # this process builds the parts p with p % n == i
    max_rejects: int | None = None
    overwrite: bool = False


class PartDone(NamedTuple):
    """What a finished part reports."""

    part: int
    samples: int
    rejects: int


def build_part(directory: str, build: plan.Plan, task: Task, number: int) -> PartDone:
    """Build one part and commit it: the seam for every executor. The same part built twice gives the same bytes."""
    # glibc gives freed memory back where it has never seen so large a piece freed: 30 page faults a picture
    bytes(_LARGE)
    records = plan.read_records(directory, build.parts[number], task.record)
    with PartWriter(directory, number) as part:
        for position, record in enumerate(records):
            try:
                for item in task.produce(record, task.options, task.places):
                    _add(part, item)
            except SphinxError:
                raise
            except Exception as error:
                name = getattr(record, "name", position)
                raise RuntimeError(f"part {number}, record {name}: {type(error).__name__}: {error}") from error
        part.commit()
        return PartDone(number, len(part.rows), len(part.rejects))


def _add(part: PartWriter, item: Item) -> None:
    if isinstance(item, Reject):
        part.reject(item)
        return
    if isinstance(item, Stored):
        part.copy(item.example, item.content)
        return
    try:
        part.add(item)
    except InvalidSample as error:
        origin = item.sample.origin
        part.reject(
            Reject(input=origin.file, record=origin.record, id=item.sample.id, level="record", rule="invalid-sample",
                   detail=str(error))
        )  # fmt: skip


def prepare(directory: str, *, overwrite: bool = False, reads: Iterable[str] = ()) -> None:
    """Make sure that `directory` may be built in; with `overwrite`, delete the dataset that is there.

    Raises UsageError for a complete dataset unless `overwrite`, for files that are no dataset, and when one of `reads`,
    the places that the build reads, would be deleted.
    """
    if not storage.exists(directory):
        return
    if not storage.local(directory).is_dir():
        raise UsageError(f"{directory}: is a file; --out names a folder")
    # listed before the plan is looked for: another process may be planning here, and its records come before its plan
    others = next((name for name, _ in storage.list_files(directory) if name != layout.RECORDS), None)
    ours = storage.exists(storage.join(directory, layout.PLAN)) or storage.exists(
        storage.join(directory, layout.DESCRIPTION)
    )
    if not ours and others:
        raise UsageError(f"{directory}: holds files that are not a dataset; use an empty --out")
    if overwrite and ours:
        whole = os.path.realpath(directory)
        for place in reads:
            if os.path.commonpath([whole, os.path.realpath(place)]) == whole:
                raise UsageError(f"{directory}: --overwrite would delete {place}, which is read; use another --out")
        storage.remove_tree(directory)
    elif storage.exists(storage.join(directory, layout.DESCRIPTION)):
        raise UsageError(f"{directory}: is a complete dataset already; use another --out or --overwrite")


def run(directory: str, build: plan.Plan, task: Task, settings: Settings) -> description.Description | None:
    """Build what is missing of this process's share; whoever completes the last part describes the dataset.

    Returns None while parts of other partitions are missing. Raises TooManyRejects when more was rejected than
    `settings.max_rejects`; the dataset is complete nevertheless.
    """
    share, shares = settings.partition
    done = [number for number in range(len(build.parts)) if _committed(directory, number)]
    missing = [n for n in range(len(build.parts)) if n not in set(done) and n % shares == share]
    progress = Progress(build.builder, total=len(missing), kept=len([n for n in done if n % shares == share]))
    try:
        for result in local.run(directory, build, task, missing, settings.workers):
            progress.advance(result.samples, result.rejects)
    except (SphinxError, OSError, RuntimeError):
        # whoever completes the dataset clears away what is unfinished, also of a second process on the same parts
        if not storage.exists(storage.join(directory, layout.DESCRIPTION)):
            raise
    progress.close()
    if not all(_committed(directory, number) for number in range(len(build.parts))):
        return None
    found = description.complete(
        directory, name=build.name, builder=build.builder, parameters=build.parameters, parts=len(build.parts)
    )
    storage.remove(storage.join(directory, layout.RECORDS))
    storage.remove_temporaries(directory)
    if settings.max_rejects is not None and found.rejects > settings.max_rejects:
        raise TooManyRejects(
            f"{directory}: {found.rejects} rejects, --max-rejects allows {settings.max_rejects}; "
            f"see sphinx-data inspect {directory}"
        )
    return found


def _committed(directory: str, number: int) -> bool:
    return storage.exists(storage.join(directory, layout.index(number)))
