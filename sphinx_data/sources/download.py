"""Downloads: everything of some sources below ROOT/NAME, whatever is there already left alone.

Order of a source: its files from web servers, its Hub repositories, its archives, the pictures behind its URL lists.
What fails is told and does not hold up the rest; the same command again goes on where this one ended.
"""

import asyncio
import fnmatch
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from sphinx_data.sources import hashes, hub, order, parts, pictures, receipt, unpack
from sphinx_data.sources.catalogue import File, Source
from sphinx_data.sources.http import Client, Failed, Limits
from sphinx_data.sources.pictures import Wishes
from sphinx_data.sources.rate import Rate
from sphinx_data.sources.receipt import Fetched, Receipt, Unpacked
from sphinx_data.sources.transfer import Transfer, Wanted, together

_FILES = 4  # files at a time
_UNPACKING = 2  # archives at a time


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to download; nothing of it changes the bytes but `max_side` and `limit`."""

    limits: Limits = Limits()
    workers: int = 1  # processes that fetch pictures
    connections: int = 4  # of one large file
    endpoint: str | None = None  # of the Hub
    verify: bool = False  # read what is there and fetch anew what is damaged
    remove_archives: bool = False
    pictures: Wishes = Wishes()


class Outcome(msgspec.Struct, kw_only=True):
    """What happened to a source."""

    name: str
    folder: str
    fetched: int = 0
    kept: int = 0
    bytes: int = 0  # fetched
    unpacked: int = 0  # archives
    damaged: list[str] = []  # found by `verify`
    failed: list[str] = []
    left_out: list[str] = []  # of archives
    pictures: dict[str, int] = {}  # reason -> URLs; "success" are those that are there
    manual: tuple[str, ...] = ()


class _Work:
    """One source at work; threads share it."""

    def __init__(self, source: Source, root: str, options: Options, rate: Rate) -> None:
        self.source, self.options, self.rate = source, options, rate
        self.folder = os.path.join(root, source.name)
        self.done: Receipt = receipt.load(self.folder, source.name)
        self.out = Outcome(name=source.name, folder=self.folder, manual=source.manual)
        self._lock = threading.Lock()

    def finished(self, place: str, entry: Fetched) -> None:
        """A file is there under its name."""
        with self._lock:
            self.done.files[place] = entry
            self.out.fetched += 1
            self.out.bytes += entry.size
            receipt.save(self.folder, self.done)
        self.rate.finish()

    def unpacked(self, archive: str, entry: Unpacked) -> None:
        """An archive's files are there."""
        with self._lock:
            self.done.archives[archive] = entry
            self.out.unpacked += 1
            receipt.save(self.folder, self.done)

    def save(self) -> None:
        """Write the receipt."""
        with self._lock:
            receipt.save(self.folder, self.done)


def run(sources: list[Source], root: str, options: Options, tell: Callable[[str], None]) -> list[Outcome]:
    """Download sources below `root`; `tell` gets a line for what a person should see at once.

    Raises OutputError before the start where the disk is too small, and when it is full.
    """
    prices = [order.price(source, root) for source in sources]
    order.check_room(prices, root)
    missing = sum(price.missing for price in prices)
    rate = Rate("download", missing if not any(price.unknown for price in prices) else None,
                sum(price.files for price in prices))  # fmt: skip
    found = []
    for source in sources:
        with receipt.locked(os.path.join(root, source.name)):
            found.append(_source(_Work(source, root, options, rate), tell))
    rate.close()
    return found


def _source(work: _Work, tell: Callable[[str], None]) -> Outcome:
    if work.options.verify:
        _verify(work, tell)
    asyncio.run(_files(work))
    for entry in work.source.hub:
        _repository(work, entry)
    _archives(work, tell)
    _pictures(work, tell)
    for why in work.out.failed:
        tell(why)
    return work.out


def _verify(work: _Work, tell: Callable[[str], None]) -> None:
    """Forget what is damaged, so that it is fetched or unpacked again."""
    done, folder = work.done, work.folder
    for archive, entry in list(done.archives.items()):
        why = unpack.damage(folder, archive, entry)
        if why is not None:
            del done.archives[archive]
            work.out.damaged.append(f"{archive}: {why}; unpacked again")
    for place, why in list(receipt.damaged(folder, done)):
        del done.files[place]
        Path(folder, place).unlink(missing_ok=True)
        work.out.damaged.append(f"{place}: {why}; fetched again")
        for archive, entry in list(done.archives.items()):
            if place in entry.parts:
                done.archives.pop(archive)
    for line in work.out.damaged:
        tell(f"{work.source.name}: {line}")
    if work.out.damaged:
        work.save()


async def _files(work: _Work) -> None:
    """Fetch the files of web servers."""
    missing = []
    for file in work.source.files:
        place = order.place(file)
        if work.done.has(work.folder, place):
            work.out.kept += 1
            work.rate.finish()
        elif not _adopted(work, file, place):
            missing.append((file, place))
    if not missing:
        return
    queue = iter(missing)
    async with Client(work.options.limits) as client:

        async def worker() -> None:
            for file, place in queue:
                await _file(work, client, file, place)

        await together([worker() for _ in range(min(_FILES, len(missing)))])


async def _file(work: _Work, client: Client, file: File, place: str) -> None:
    wanted = Wanted(
        url=file.url, path=os.path.join(work.folder, place), size=_exact(file), checksum=file.checksum,
        mirrors=file.mirrors,
    )  # fmt: skip
    try:
        got = await Transfer(client, wanted, work.rate.add, work.options.connections).run()
    except Failed as error:
        work.out.failed.append(str(error))
        return
    entry = Fetched(url=got.url, size=got.size, xxh3=got.xxh3, checksum=file.checksum)
    await asyncio.to_thread(work.finished, place, entry)


def _exact(file: File) -> int | None:
    return file.size if isinstance(file.size, int) and not file.rounded else None


def _adopted(work: _Work, file: File, place: str) -> bool:
    """Take a file that a person put there, if size and checksum, one of which is known, are right."""
    path, size = os.path.join(work.folder, place), _exact(file)
    if not os.path.isfile(path) or (size is None and file.checksum is None):
        return False
    if size is not None and os.path.getsize(path) != size:
        return False
    if file.checksum and not hashes.checksum(path, file.checksum):
        return False
    entry = Fetched(url=file.url, size=os.path.getsize(path), xxh3=hashes.digest(path), checksum=file.checksum)
    work.finished(place, entry)
    work.out.fetched, work.out.bytes = work.out.fetched - 1, work.out.bytes - entry.size
    work.out.kept += 1
    return True


def _repository(work: _Work, entry: hub.Hub) -> None:
    key = order.asked(entry)
    known = work.done.repositories.get(key)
    pinned = entry.revision in ("unknown", known.revision if known else None)
    if known and pinned and all(work.done.has(work.folder, place) for place in known.files):
        work.out.kept += len(known.files)
        return
    limits = work.options.limits
    try:
        repo, failed = hub.fetch(
            entry, work.folder, work.done, endpoint=work.options.endpoint, parallel=min(limits.per_host, 8),
            limits=limits, received=work.rate.add, finished=work.finished,
        )  # fmt: skip
    except Failed as error:
        work.out.failed.append(str(error))
        return
    work.out.failed += failed
    if not failed:
        work.done.repositories[key] = repo
        work.save()


def _archives(work: _Work, tell: Callable[[str], None]) -> None:
    """Unpack what is to be unpacked and is not yet."""
    jobs: list[tuple[str, list[str], str]] = []
    for into, places in _to_unpack(work).items():
        for archive, pieces in parts.groups(places).items():
            known = work.done.archives.get(archive)
            if not (known and known.into == into) and all(work.done.has(work.folder, piece) for piece in pieces):
                jobs.append((archive, pieces, into))

    def one(job: tuple[str, list[str], str]) -> None:
        archive, pieces, into = job
        try:
            entry = unpack.unpack(work.folder, archive, pieces, into, work.out.left_out.append)
        except Failed as error:
            work.out.failed.append(str(error))
            return
        work.unpacked(archive, entry)

    with ThreadPoolExecutor(_UNPACKING) as pool:
        list(pool.map(one, jobs))
    for line in work.out.left_out:
        tell(line)
    if work.options.remove_archives:
        _remove(work)


def _to_unpack(work: _Work) -> dict[str, list[str]]:
    """Folder -> files of this source that are to be unpacked into it."""
    found: dict[str, list[str]] = {}
    for file in work.source.files:
        if file.unpack is not None:
            found.setdefault(file.unpack, []).append(order.place(file))
    for entry in work.source.hub:
        known = work.done.repositories.get(order.asked(entry))
        for place in known.files if known else ():
            name = os.path.relpath(place, entry.to)
            into = next((to for pattern, to in entry.unpack.items() if fnmatch.fnmatch(name, pattern)), None)
            if into is not None:
                found.setdefault(into, []).append(place)
    return found


def _remove(work: _Work) -> None:
    """Delete the parts of archives that were unpacked."""
    for archive, entry in work.done.archives.items():
        if not entry.removed:
            work.done.archives[archive] = msgspec.structs.replace(entry, removed=True)
            work.save()
            for part in entry.parts:
                with suppress(OSError):
                    os.unlink(os.path.join(work.folder, part))


def _pictures(work: _Work, tell: Callable[[str], None]) -> None:
    for entry in work.source.urls:
        lists = pictures.find(work.folder, entry.list)
        if not lists:
            if not work.out.failed:
                work.out.failed.append(
                    f"{work.source.name}: the list of URLs {entry.list} is not there; get it as the manual steps say"
                )
            continue
        found = pictures.fetch(
            pictures.Job(lists=tuple(lists), url=entry.url, caption=entry.caption, folder=work.folder,
                         limits=work.options.limits, wishes=work.options.pictures, workers=work.options.workers),
            tell,
        )  # fmt: skip
        for reason, count in found.items():
            work.out.pictures[reason] = work.out.pictures.get(reason, 0) + count


def problems(found: list[Outcome]) -> str | None:
    """One sentence about all that failed, or None."""
    failed = [why for each in found for why in each.failed]
    if not failed:
        return None
    many = f" ({len(failed)} problems; the others are above)" if len(failed) > 1 else ""
    return f"{failed[0]}{many}"
