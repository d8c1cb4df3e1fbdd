"""`normoscope reproduce`: a paper's experiment, run where it stopped, and its tables beside the published numbers."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

from .. import allocator, protocols
from ..cluster import RayCluster
from ..errors import DataNotFoundError, OptionError
from ..job_progress import duration
from ..protocols._jobs import timed
from ..protocols._pages import as_json, latex, markdown
from ..provenance import provenance
from ..runner import Job, Processes, Result, finished, run_jobs
from ..types import Run
from ..written import check_companions, check_place, write_atomically
from .arguments import command_line, progress_of
from .output import emit, note, plain

__all__ = ["reproduce"]


def reproduce(args: argparse.Namespace) -> int:
    """Say how long it will take, do the jobs that are not done, and write tables, figures and claims."""
    allocator.tune()
    torch.set_num_threads(1)
    if args.processes is not None and args.processes < 1:
        raise OptionError("--processes", args.processes, "at least 1")
    if args.collect and args.ray is not None:
        raise OptionError("--ray", args.ray, "to be used without --collect, which runs nothing")
    protocol = protocols.build(args.protocol, quick=args.quick, seeds=args.seeds)
    name = args.protocol + ("_quick" if args.quick else "")
    out = Path(args.out)
    folder = out / "jobs"
    check_place(out, "jobs", "any")
    check_companions(out / f"{name}.json", f"{name}.md", f"{name}.tex")
    plan = protocol.plan()
    for data in plan.absent:
        note(str(data), args.quiet)
    if not plan.jobs:
        raise DataNotFoundError(args.protocol, _data_folder(), "none of its data is there; see the notes above")
    pending = [job for job in plan.jobs if finished(job, folder) is None]
    if args.collect:
        left = "; the others are left out" if pending else ""
        note(f"{len(plan.jobs) - len(pending)} of {len(plan.jobs)} jobs are done{left}", args.quiet)
        results = [result for job in plan.jobs if (result := finished(job, folder)) is not None]
        if not results:
            expected = "a folder with finished jobs of this protocol, code and data in jobs/ (run without --collect)"
            raise OptionError("--out", args.out, expected)
    else:
        with redirect_stdout(sys.stderr):  # where Ray, too, tells what becomes of its nodes
            results = _run(list(plan.jobs), pending, folder, args)
    note("making tables, figures and claims", args.quiet)
    outcome = protocol.outcome(results, plan.absent)
    content = plain(as_json(outcome, plan.absent, _provenance(results, len(plan.jobs), args)))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / f"{name}.json", json.dumps(content, indent=1) + "\n")
    write_atomically(out / f"{name}.md", markdown(content))
    write_atomically(out / f"{name}.tex", latex(content))
    for figure in outcome.figures:
        write_atomically(out / f"{figure.name}.svg", figure.svg)
    emit("reproduce", content, markdown(content), args.json)
    note(f"tables, claims and figures stand in {out / name}.json, .md, .tex and .svg files beside them", args.quiet)
    return 0


def _data_folder() -> str:
    """Say where data was looked for."""
    home = os.environ.get("NORMOSCOPE_DATA", "")
    if not home:
        return "$NORMOSCOPE_DATA, which is not set"
    return f"$NORMOSCOPE_DATA, which is {home}" + ("" if os.path.isdir(home) else " and is no folder")


def _run(jobs: list[Job], pending: list[Job], folder: Path, args: argparse.Namespace) -> list[Result]:
    """Time what is left, tell, and do it."""
    engine = RayCluster(args.ray) if args.ray is not None else Processes(args.processes)
    if pending:
        at_once = engine.at_once  # first of all, for a wrong address need not wait for the timing
        note("timing 20 steps of every method that is left", args.quiet)
        costs = {job.key: job.cost for job in timed(pending, progress=progress_of(args))}
        seconds = max(sum(costs.values()) / at_once, max(costs.values()))
        said = f"{len(pending)} of {len(jobs)} jobs to do, about {duration(seconds)} with {at_once} at once"
        note(f"{said}; stop at any time, the same command goes on", args.quiet)
        jobs = [dataclasses.replace(job, cost=costs.get(job.key, 0.0)) for job in jobs]
    return run_jobs(jobs, folder, engine=engine, progress=not args.quiet)


def _provenance(results: Sequence[Result], asked: int, args: argparse.Namespace) -> dict[str, Any]:
    """Say when, with what and on what; hours of work may have several answers, so the jobs' own are listed."""
    where = Counter(json.dumps(result.where, sort_keys=True) for result in results)
    return {
        **provenance(Run(), command_line(args)),
        "jobs": {"asked": asked, "done": len(results)},
        "seconds": round(sum(result.seconds for result in results), 1),
        "first": min((result.created for result in results), default=None),
        "last": max((result.created for result in results), default=None),
        "where": [{**json.loads(text), "jobs": count} for text, count in sorted(where.items())],
    }
