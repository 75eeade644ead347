"""Local worker processes. A worker that dies costs its part one retry, not the run."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from sphinx_data.errors import InputError, SphinxError

if TYPE_CHECKING:
    from sphinx_data.executors.build import PartDone, Task
    from sphinx_data.executors.plan import Plan


def run(directory: str, plan: "Plan", task: "Task", parts: list[int], workers: int) -> Iterator["PartDone"]:
    """Build `parts`, yielding each as it is committed; one worker builds in this process.

    Raises what a part raised, and InputError for a part whose worker died twice.
    """
    from sphinx_data.executors.build import build_part

    if workers <= 1 or len(parts) <= 1:
        for number in parts:
            yield build_part(directory, plan, task, number)
        return
    pool = _Pool(directory, plan, task, min(workers, len(parts)))
    try:
        yield from pool.build(parts)
    finally:
        pool.close()


class _Worker:
    """One process and the part it is building."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")  # PDFium and threads do not survive a fork
        self.connection, far = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(far, *arguments), daemon=True)
        self.process.start()
        far.close()
        self.part: int | None = None

    def give(self, part: int) -> None:
        self.part = part
        self.connection.send(part)


class _Pool:
    """Workers that each build one part at a time."""

    def __init__(self, directory: str, plan: "Plan", task: "Task", workers: int) -> None:
        self._arguments = (directory, plan, task)
        self._workers = [_Worker(self._arguments) for _ in range(workers)]

    def build(self, parts: list[int]) -> Iterator["PartDone"]:
        waiting, retried = list(reversed(parts)), set[int]()
        for worker in self._workers:
            if waiting:
                worker.give(waiting.pop())
        while busy := [worker for worker in self._workers if worker.part is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in (worker for worker in busy if worker.connection in ready):
                try:
                    result = worker.connection.recv()
                except (EOFError, ConnectionError):
                    self._replace(worker, retried)
                    continue
                if isinstance(result, BaseException):
                    raise result
                yield result
                worker.part = None
                if waiting:
                    worker.give(waiting.pop())

    def _replace(self, worker: _Worker, retried: set[int]) -> None:
        part = worker.part
        assert part is not None
        worker.process.join()
        code = worker.process.exitcode or 0
        if part in retried:
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            raise InputError(
                f"part {part}: its worker died twice ({how}); run with --workers 1 to see which input it is"
            )
        retried.add(part)
        self._workers[self._workers.index(worker)] = fresh = _Worker(self._arguments)
        fresh.give(part)

    def close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()


def _leave_with_parent() -> None:
    """End this worker when the parent is killed, so that the next run is alone in the directory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _serve(connection: Connection, directory: str, plan: "Plan", task: "Task") -> None:
    from sphinx_data.executors.build import build_part

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    while True:
        try:
            number = connection.recv()
        except EOFError:  # the parent is gone
            return
        try:
            connection.send(build_part(directory, plan, task, number))
        except SphinxError as error:
            connection.send(error)
        except Exception as error:
            connection.send(RuntimeError(str(error)))
