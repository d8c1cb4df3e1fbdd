"""Runs jobs on a Ray cluster: the same job code as on one machine, on many machines' processors.

    jobs --Ray--> one task each, on one core of any node --> driver --> results

The driver runs on a node of the cluster. Every node needs the driver's version of this package and the data; a job
whose code is another there is refused. A task whose node or process dies is started again on a node that lives. It
goes on from its checkpoints where the job folder lies on a shared disk, and begins anew elsewhere. A task sees no
graphics card. Results return to the driver, so the nodes need share nothing.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import allocator
from .errors import MissingExtraError, OptionError
from .runner import Done, Job, checkpoint_of, perform

__all__ = ["RayCluster"]

_RETRIES = 3
_REACHED_WITHIN = 5.0
_ONE_CORE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
_DATA = "NORMOSCOPE_DATA"


@dataclass(frozen=True)
class RayCluster:
    """The engine of a running Ray cluster.

    Args:
        address: HOST:PORT of its head, or auto for the cluster that this machine is a node of.
    """

    address: str

    @property
    def at_once(self) -> int:
        """How many jobs are done at the same time: the cluster's processor cores, as far as they are known now.

        Raises:
            MissingExtraError: Ray is not installed.
            OptionError: There is no such cluster.
        """
        with _connected(self.address) as ray:
            return max(1, int(ray.cluster_resources().get("CPU", 0)))

    def __call__(self, jobs: Sequence[Job], folder: Path) -> Generator[Done, None, None]:
        """Hand all jobs to the cluster; leave out those whose process or node died every time.

        Raises:
            MissingExtraError: Ray is not installed.
            OptionError: There is no such cluster.
        """
        with _connected(self.address) as ray:
            task = ray.remote(num_cpus=1, max_retries=_RETRIES, runtime_env={"env_vars": _ONE_CORE})(_work)
            data = os.environ.get(_DATA)
            waiting = {task.remote(job, job.key, checkpoint_of(job, folder.resolve()), data): job for job in jobs}
            while waiting:
                (done,), _ = ray.wait(list(waiting), num_returns=1)
                job = waiting.pop(done)
                try:
                    found = ray.get(done)
                except ray.exceptions.RayTaskError as error:  # outside the job: this package is not there, for instance
                    found = str(error.cause)
                except ray.exceptions.RayError:
                    continue
                yield job, found


def _work(job: Job, key: str, checkpoint: Path, data: str | None) -> dict[str, Any] | str:
    """Do one job in a worker; return what its result file will hold, or say what went wrong.

    Args:
        job: The job.
        key: The job's key where the driver runs.
        checkpoint: Where its checkpoints lie if the folder above exists here.
        data: The driver's $NORMOSCOPE_DATA, for workers that have none of their own.
    """
    torch.set_num_threads(1)
    allocator.tune()
    if data is not None:
        os.environ.setdefault(_DATA, data)
    if job.key != key:
        return f"its code on {platform.node()} is not the driver's; install the same version there and start again"
    with _near(checkpoint) as place:
        return perform(job, place)


@contextmanager
def _near(checkpoint: Path) -> Iterator[Path]:
    """Return the checkpoints' folder: the job folder's where that is shared, else one for this attempt alone."""
    if checkpoint.parent.is_dir():
        yield checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="normoscope-") as folder:
        yield Path(folder, checkpoint.name)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Join the cluster as a driver and leave it at the end, which also stops tasks still under way."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError("running on a Ray cluster", "cluster") from None
    _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        raise OptionError("--ray", address, f"a cluster that this machine is a node of ({why})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Refuse an address where nothing listens; Ray itself tries for minutes, then ends the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise OptionError("--ray", address, "HOST:PORT of a Ray cluster's head, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise OptionError("--ray", address, f"the address of a running Ray cluster ({error})") from None
