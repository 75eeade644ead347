"""Pictures behind lists of URLs: fetched by the ten thousand, checked, stored as tars; every dead URL is a row.

ROOT/NAME/pictures holds shards of 10,000 rows of the lists, in their order (`sources/shard.py`); a shard that is there
is not fetched again. Nothing is kept that asks not to be (X-Robots-Tag: noai, noimageai), that is no picture, or that
comes from an address of a private network.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sphinx_data import storage
from sphinx_data.errors import UsageError
from sphinx_data.media import DamagedImage, check_image, prepare_image, shrink_image
from sphinx_data.sources import receipt, urls
from sphinx_data.sources.http import Failed, Limits
from sphinx_data.sources.libcurl import Headers
from sphinx_data.sources.many import Many
from sphinx_data.sources.rate import Rate
from sphinx_data.sources.shard import FAILED, RESIZE, SUCCESS, Line, Shard, read, stored

FOLDER = "pictures"
ROWS = 10_000  # of a shard
_OPEN = 3  # shards at a time, so that a slow host at the end of one holds nothing up
_PATIENCE = 30.0  # seconds that a server may ask for
_STAYS = frozenset({"noai", "bad-url", "private-address"})  # reasons that no later try changes
_ACCEPT = "image/*,*/*;q=0.5"
_NO_PICTURES = frozenset({"text/html", "application/json"})
_WAIT = 0.2  # seconds after which threads are looked after
_KEPT = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_REFUSING = frozenset({"noai", "noimageai"})


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may want of the pictures."""

    max_side: int | None = None  # longer sides are made smaller; the original bytes without it
    max_bytes: int = 20 << 20  # of one picture
    limit: int | None = None  # the first so many rows only
    retry_failed: bool = False  # fetch again what failed
    parallel: int = 64  # requests at a time, a process


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Lists and where their pictures go; it crosses processes."""

    lists: tuple[str, ...]
    url: str | None
    caption: str | None
    folder: str  # of the source
    limits: Limits
    wishes: Wishes
    workers: int = 1


class Found(NamedTuple):
    """A picture, or why there is none."""

    status: str
    message: str | None = None
    data: bytes = b""
    extension: str = ""
    size: tuple[int, int] | None = None
    original: tuple[int, int] | None = None


def find(folder: str, pattern: str) -> list[str]:
    """The lists that a pattern below a source's folder names, sorted; what was made from them is none."""
    found = []
    for path in Path(folder).glob(pattern):
        place = path.relative_to(folder).parts
        if path.is_file() and place[0] not in (FOLDER, receipt.SIDE, receipt.NAME):
            found.append(str(path))
    return sorted(found)


def fetch(job: Job, tell: Callable[[str], None]) -> dict[str, int]:
    """Fetch what is missing; returns reason -> rows, of all shards; those with a picture are "success"."""
    folder = os.path.join(job.folder, FOLDER)
    _agree(job, folder)
    total = count(job)
    rate = Rate(FOLDER, None, total, "URLs")
    if job.workers == 1:
        _work(job, 0, 1, rate.add, rate.finish)
    else:
        _processes(job, rate)
    rate.close()
    storage.remove_temporaries(folder)  # of runs that were killed
    result: dict[str, int] = {}
    for number in range(-(-total // ROWS)):
        for reason, rows in (stored(folder, number) or {}).items():
            result[reason] = result.get(reason, 0) + rows
    return dict(sorted(result.items()))


def count(job: Job) -> int:
    """Rows of the lists."""
    return sum(1 for _ in _rows(job))


def _agree(job: Job, folder: str) -> None:
    """Keep pictures of different lists apart. Raises UsageError."""
    path = os.path.join(folder, "list.json")
    facts = {"lists": [urls.identity(each) for each in job.lists], "url": job.url, "caption": job.caption,
             "max_side": job.wishes.max_side}  # fmt: skip
    if not os.path.exists(path):
        storage.write_atomic(path, msgspec.json.encode(facts))
        return
    known = msgspec.json.decode(storage.read_bytes(path))
    different = next((name for name, value in facts.items() if known.get(name) != value), None)
    if different:
        raise UsageError(
            f"{folder}: was begun with {different} {known.get(different)}, not {facts[different]}; give the same or "
            "use another --root or --name"
        )


def _rows(job: Job) -> Iterator[urls.Row]:
    every = (row for path in job.lists for row in urls.rows(path, urls.Columns(job.url, job.caption)))
    return islice(every, job.wishes.limit)


def _processes(job: Job, rate: Rate) -> None:
    """Shards by turns to processes, which count for one line of progress."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    counters = context.Array("q", 2)
    with ProcessPoolExecutor(job.workers, context, initializer=_share, initargs=(counters,)) as pool:
        running = [pool.submit(_process, job, number) for number in range(job.workers)]
        while wait(running, 0.5).not_done:
            rate.add(counters[0] - rate.bytes)
            rate.finish(counters[1] - rate.done)
        for each in running:
            each.result()
        rate.add(counters[0] - rate.bytes)
        rate.finish(counters[1] - rate.done)


_counters: Any = None


def _share(counters: Any) -> None:
    global _counters  # noqa: PLW0603 (the initializer of a process has no other way)
    _counters = counters


def _process(job: Job, number: int) -> None:
    def add(place: int, count: int) -> None:
        with _counters.get_lock():
            _counters[place] += count

    _work(job, number, job.workers, lambda size: add(0, size), lambda rows: add(1, rows))


def _work(
    job: Job, share: int, shares: int, received: Callable[[int], None], finished: Callable[[int], None]
) -> None:  # fmt: skip
    """Fetch every shard of this share: a few are open at a time, and requests go on across their borders.

    This thread asks and stores; others read lists, make pictures smaller and commit shards.
    """
    limits = msgspec.structs.replace(
        job.limits, parallel=job.wishes.parallel, patience=_PATIENCE, tries=min(job.limits.tries, 3),
        timeout=min(job.limits.timeout, 20.0), connect_timeout=min(job.limits.connect_timeout, 10.0),
    )  # fmt: skip
    side, room = job.wishes.max_side, 2 * limits.parallel
    with (
        ThreadPoolExecutor(_OPEN) as keepers,
        ThreadPoolExecutor(os.cpu_count()) as makers,
        Many(limits, _ACCEPT, job.wishes.max_bytes, unwanted) as many,
    ):
        shards = _shards(job, share, shares, finished)
        coming: Future[Any] | None = keepers.submit(next, shards, None)
        commits: set[Future[Any]] = set()
        making: deque[tuple[Shard, Line, Future[Found]]] = deque()
        opened = 0

        def store(shard: Shard, line: Line, found: Found) -> None:
            shard.add(_filled(line, found), found.data, found.extension)
            received(len(found.data))
            finished(1)
            if not shard.left:
                commits.add(keepers.submit(shard.commit))

        while coming or many.left or making or commits:
            if coming and coming.done() and opened < _OPEN and many.left < limits.parallel:
                if (batch := coming.result()) is None:
                    coming = None
                else:
                    opened += 1
                    for line in batch[1]:
                        many.add(line.url, (batch[0], line))
                    if not batch[1]:
                        commits.add(keepers.submit(batch[0].commit))
                    coming = keepers.submit(next, shards, None)
            for (shard, line), found in many.wait(_WAIT if many.left else 0.0):
                if isinstance(found, Failed):
                    store(shard, line, Found(FAILED, f"{found.reason}: {found}"))
                elif side is None:
                    store(shard, line, checked(found, None))
                else:
                    making.append((shard, line, makers.submit(checked, found, side)))
            while making and (making[0][2].done() or len(making) > room or not many.left):
                shard, line, made = making.popleft()
                store(shard, line, made.result())
            for done in [each for each in commits if each.done()]:
                done.result()
                commits.discard(done)
                opened -= 1
            if not many.left and not making:
                wait({*commits, coming} if coming and opened < _OPEN else commits, return_when=FIRST_COMPLETED)


def _shards(
    job: Job, share: int, shares: int, finished: Callable[[int], None]
) -> Iterator[tuple[Shard, list[Line]]]:  # fmt: skip
    """Shards that are to be fetched, with the rows that are missing."""
    folder, rows = os.path.join(job.folder, FOLDER), _rows(job)
    number = 0
    while batch := list(islice(rows, ROWS)):
        if number % shares == share:
            lines = [Line(key=f"{number:05d}{place:04d}", url=row.url, caption=row.caption)
                     for place, row in enumerate(batch)]  # fmt: skip
            old = _old(folder, number, job.wishes.retry_failed, len(lines))
            if old is None:
                finished(len(lines))
            else:
                shard = Shard(folder, number, len(lines))
                missing = _resumed(shard, old, lines)
                finished(len(lines) - len(missing))
                yield shard, missing
        number += 1


def _old(folder: str, number: int, retry: bool, rows: int) -> list[Line] | None:
    """Rows of an earlier run that stay; None where the whole shard does."""
    found = stored(folder, number)
    if found is None:
        return []
    complete = sum(found.values()) == rows
    failed = sum(count for reason, count in found.items() if reason != SUCCESS and reason not in _STAYS)
    if complete and not (retry and failed):
        return None
    lines = read(folder, number)
    if retry:
        return [line for line in lines if line.status == SUCCESS or (line.error_message or "").split(":")[0] in _STAYS]
    return lines


def _resumed(shard: Shard, old: list[Line], lines: list[Line]) -> list[Line]:
    """Take over what stays; the rows that are missing."""
    shard.keep(old)
    for line in old:
        if line.status != SUCCESS:
            shard.add(line)
    return [line for line in lines if line.key not in shard.lines]


def _filled(line: Line, found: Found) -> Line:
    line.status, line.error_message = found.status, found.message
    if found.size and found.original:
        line.width, line.height = found.size
        line.original_width, line.original_height = found.original
        line.sha256 = hashlib.sha256(found.data).hexdigest()
    return line


def unwanted(headers: Headers) -> Failed | None:
    """Why the body of an answer is not read."""
    if refusing := refusal([value for name, value in headers if name == "x-robots-tag"]):
        return Failed(f"X-Robots-Tag: {refusing}", "noai")
    kind = next((value for name, value in headers if name == "content-type"), "").partition(";")[0].strip().lower()
    return Failed(f"the answer is {kind}", "no-picture") if kind in _NO_PICTURES else None


def refusal(headers: list[str]) -> str | None:
    """The word by which X-Robots-Tag headers ask not to be used; what is meant for one named robot is not for us."""
    for header in headers:
        words = [word.strip().lower() for word in header.split(",")]
        agent, colon, first = words[0].partition(":")
        if colon and agent.strip() not in ("*", "sphinx-data"):
            continue
        words[0] = first.strip() if colon else words[0]
        if found := next((word for word in words if word in _REFUSING), None):
            return found
    return None


def checked(data: bytes, max_side: int | None) -> Found:
    """A picture that can be stored: its bytes as they are, or smaller, or of a form that others read."""
    try:
        info = check_image(data)
        original = (info.width, info.height)
        if max_side is None and info.format in _KEPT:
            return Found(SUCCESS, None, data, _KEPT[info.format], original, original)
        made = prepare_image(data) if max_side is None or info.format not in _KEPT else shrink_image(data, max_side)
        if max_side is not None and max(made.width, made.height) > max_side:
            made = shrink_image(made.data, max_side)
    except DamagedImage as error:
        return Found(RESIZE if max_side else FAILED, f"no-picture: {error}")
    return Found(SUCCESS, None, made.data, made.extension, (made.width, made.height), original)
