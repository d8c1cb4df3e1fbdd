"""Runs jobs, each once: one process per core with one thread each; what is done stays done.

    jobs --key--> folder/KEY.json if it is there, else engine: work(arguments) --> folder/KEY.json --> results

A job is a function, named by its module, and JSON arguments. Its key hashes both and the code of every module of this
package that the function can reach, so changed arguments, data (whose hash is an argument) or mathematics make another
job. A run killed at any moment repeats no finished job; those under way go on from their checkpoints. Results do not
depend on how many run at once, for each job computes in one thread.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import connection
from pathlib import Path
from typing import Any, Protocol

from . import allocator
from .errors import DISK_FULL, FolderBusyError, JobError
from .fingerprints import circumstances, code_fingerprint
from .job_progress import JobProgress
from .types import Run
from .written import write_atomically

__all__ = ["Done", "Engine", "Job", "Processes", "Result", "alone", "checkpoint_of", "finished", "perform", "run_jobs"]

_ATTEMPTS = 3


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Args:
        name: What people call it.
        work: `module:function`; the function maps (arguments, checkpoint folder) to a JSON value.
        arguments: JSON values; they name everything the result depends on, the data's hash included.
        modules: Modules beside the function's own whose code the result depends on, for instance a method's.
        cost: Seconds it will take, as far as is known.
    """

    name: str
    work: str
    arguments: Mapping[str, Any]
    modules: tuple[str, ...] = ()
    cost: float = 0.0

    @property
    def key(self) -> str:
        """Hash of the work, its arguments and the code."""
        code = code_fingerprint((self.work.partition(":")[0], *self.modules))
        text = json.dumps([self.work, self.arguments, code], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Result:
    """What a job gave.

    Args:
        job: The job.
        value: What its function returned.
        seconds: How long the last attempt took.
        created: When it ended, UTC.
        where: Processor, precision and torch version.
    """

    job: Job
    value: Any
    seconds: float
    created: str
    where: Mapping[str, Any]


Done = tuple[Job, Mapping[str, Any] | str]
"""A job with the content of its result file, or with the sentence that says what went wrong."""


class Engine(Protocol):
    """Does jobs, in any order; a job whose process dies may be left out and is asked for again.

    Closed before its end, by an interrupt or an error, it stops what is under way, whose checkpoints stay.
    """

    @property
    def at_once(self) -> int:
        """How many jobs are done at the same time."""

    def __call__(self, jobs: Sequence[Job], folder: Path) -> Generator[Done, None, None]:
        """Do the jobs; checkpoints lie in the folder."""


def finished(job: Job, folder: Path) -> Result | None:
    """Read a job's result, None where it is not done.

    Raises:
        JobError: The file is damaged.
    """
    file = folder / f"{job.key}.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Result(job, content["value"], content["seconds"], content["created"], content["where"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(job.name, f"its result {file} cannot be read ({error}); delete the file") from None


def checkpoint_of(job: Job, folder: Path) -> Path:
    """Return where a job's checkpoints lie while it is under way."""
    return folder / f"{job.key}.checkpoint"


def perform(job: Job, checkpoint: Path) -> dict[str, Any] | str:
    """Do one job in this process; return what its result file will hold, or say what went wrong.

    In words, for an exception that takes facts is not rebuilt from its sentence in another process.

    Raises:
        OSError: The disk is full.
    """
    module, _, function = job.work.partition(":")
    began = time.perf_counter()
    try:
        value = getattr(importlib.import_module(module), function)(job.arguments, checkpoint)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise  # the next job would meet it too
        return str(error) or type(error).__name__
    return {
        "name": job.name,
        "work": job.work,
        "arguments": dict(job.arguments),
        "seconds": round(time.perf_counter() - began, 3),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "where": circumstances(Run()),
        "value": value,
    }


def run_jobs(
    jobs: Sequence[Job], folder: Path, *, engine: Engine | None = None, progress: bool = False
) -> list[Result]:
    """Do what is not done yet and return all results, in the jobs' order.

    Args:
        jobs: What to do, what matters most first; equal jobs are done once.
        folder: Where results stand and checkpoints lie.
        engine: What does the work; None takes a process per core this process may use.
        progress: Tell on standard error how far it is and what time is left, by the jobs' costs where they are known.

    Raises:
        JobError: Some jobs failed, or their process died three times; the others are done all the same.
        FolderBusyError: Another run is at work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        return _run(jobs, folder, engine or Processes(), progress)


def _run(jobs: Sequence[Job], folder: Path, engine: Engine, progress: bool) -> list[Result]:
    pending = {job.key: job for job in jobs if finished(job, folder) is None}
    failures: list[JobError] = []
    costs = {key: job.cost for key, job in pending.items()}
    at_once = engine.at_once if pending and progress else 1  # a cluster has to be asked
    with JobProgress(len({job.key for job in jobs}), costs, at_once, progress) as shown:

        def attempt(some: Sequence[Job]) -> int:
            """Do jobs and store what they give; return how many were left, as their process or one beside it died."""
            left = {job.key for job in some}
            with closing(engine(some, folder)) as work:
                for job, content in work:
                    if isinstance(content, str):
                        failures.append(JobError(job.name, content))
                    else:
                        write_atomically(folder / f"{job.key}.json", json.dumps(content))
                        shutil.rmtree(checkpoint_of(job, folder), ignore_errors=True)
                    left.remove(job.key)
                    del pending[job.key]
                    shown.advance(job.key, job.name, None if isinstance(content, str) else content["seconds"])
            return len(left)

        died = Counter[str]()
        while pending:
            others = [job for job in pending.values() if not died[job.key]]
            if len(others) > 1 and attempt(others) < len(others):
                continue
            # a process that dies takes those beside it with it: alone, it dies alone
            for job in (others or list(pending.values()))[: engine.at_once]:
                if attempt([job]):
                    died[job.key] += 1
                if died[job.key] == _ATTEMPTS:
                    cause = f"its process died {_ATTEMPTS} times (too little memory?)"
                    failures.append(JobError(job.name, cause))
                    del pending[job.key]
    if failures:
        raise failures[0] if len(failures) == 1 else JobError(f"1 of {len(failures)} that failed", str(failures[0]))
    return [result for job in jobs if (result := finished(job, folder)) is not None]


@dataclass(frozen=True)
class Processes:
    """The engine of one machine.

    Args:
        count: How many processes work at once; None takes the cores this process may use.
    """

    count: int | None = None

    @property
    def at_once(self) -> int:
        """How many jobs are done at the same time."""
        if self.count is not None:
            return self.count
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def __call__(self, jobs: Sequence[Job], folder: Path) -> Generator[Done, None, None]:
        """Do the jobs in one pool; end early where a process of it dies."""
        spawn = multiprocessing.get_context("spawn")
        others = set(multiprocessing.active_children())
        with _one_thread(), ProcessPoolExecutor(self.at_once, spawn, initializer=_begin) as pool:
            waiting: dict[Future[dict[str, Any] | str], Job] = {}
            try:
                with suppress(BrokenProcessPool):
                    for job in jobs:
                        waiting[pool.submit(perform, job, checkpoint_of(job, folder))] = job
                while waiting:
                    for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                        job = waiting.pop(done)
                        # where a process died, the jobs that were under way or waiting are left out
                        if not isinstance(done.exception(), BrokenProcessPool):
                            yield job, done.result()
            except BaseException:
                # the pool would finish everything that was asked for, and nobody would store it
                pool.shutdown(wait=False, cancel_futures=True)
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
                raise


def _begin() -> None:
    """Compute in one thread, leave interrupts to the process that started this one, and end however that ends."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    allocator.tune()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def alone(folder: Path, lock_name: str = ".lock") -> Iterator[None]:
    """Keep a second run out of a folder, where both would do every job, over each other's checkpoints.

    Raises:
        FolderBusyError: Another is there.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / lock_name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderBusyError(str(folder)) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes started meanwhile compute in one thread each, whichever library does."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
