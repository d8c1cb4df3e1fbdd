"""The same jobs on a Ray cluster: same table, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from normoscope import protocols
from normoscope.apps.cli import main
from normoscope.cluster import RayCluster
from normoscope.errors import JobError, MissingExtraError, OptionError
from normoscope.protocols import Outcome, Plan, Table
from normoscope.runner import Job, Processes, Result, finished, run_jobs

HERE = Path(__file__).parent
SMALL = 80 * 2**20  # bytes of each node's object store


class Nodes(NamedTuple):
    """A cluster on this machine, and a folder whose modules its workers can import."""

    cluster: Any
    code: Path

    @property
    def engine(self) -> RayCluster:
        return RayCluster(self.cluster.address)

    @property
    def raylets(self) -> dict[int, subprocess.Popen[bytes]]:
        """Process ids to processes of the nodes that work."""
        found = [p.process for node in self.cluster.worker_nodes for p in node.all_processes["raylet"]]
        return {process.pid: process for process in found if process.poll() is None}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head without processor cores, where the driver is, and one node with one core."""
    ray = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed: pip install 'normoscope[cluster]'")
    code = tmp_path_factory.mktemp("code")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(code), *filter(None, sys.path)]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("NORMOSCOPE_DATA", raising=False)
        head = {"num_cpus": 0, "object_store_memory": SMALL, "include_dashboard": False}
        cluster = ray.Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1, object_store_memory=SMALL)
        yield Nodes(cluster, code)
        cluster.shutdown()


def starts(log: Path) -> list[tuple[int, int]]:
    """Read which job began under which raylet, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(number), int(parent)) for number, parent in map(str.split, lines)]


def phantoms(log: Path, *, hanging: int | None = None) -> list[Job]:
    """Twelve jobs: four methods, one of them trained, on three phantoms."""
    fitted = {"pca": {}, "knn": {}, "ocsvm": {}, "cae": {"epochs": 2}}
    cases = [(method, changes, seed) for method, changes in fitted.items() for seed in range(3)]
    return [
        Job(
            f"{method}, seed {seed}",
            "toy_jobs:score_phantom",
            {"number": n, "method": method, "changes": changes, "seed": seed, "log": str(log), "hangs": n == hanging},
        )
        for n, (method, changes, seed) in enumerate(cases)
    ]


def kill_the_node_of(number: int, log: Path, raylets: dict[int, subprocess.Popen[bytes]]) -> int:
    """Wait until a job has begun, kill the raylet above its process and return the raylet's id."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        for begun, raylet in starts(log):
            if begun == number:
                raylets[raylet].kill()
                raylets[raylet].wait()  # its worker ends when the raylet is gone, and a zombie is not gone
                return raylet
        time.sleep(0.02)
    raise AssertionError("the job never began")


@pytest.mark.slow
def test_a_node_killed_at_work_has_its_job_done_by_another_and_the_table_is_the_same(
    nodes: Nodes, tmp_path: Path
) -> None:
    nodes.cluster.add_node(num_cpus=1, object_store_memory=SMALL)
    nodes.cluster.wait_for_nodes()
    raylets = nodes.raylets
    assert len(raylets) == 2
    log = tmp_path / "log"
    with ThreadPoolExecutor(1) as threads:
        killed = threads.submit(kill_the_node_of, 0, log, raylets)
        there = run_jobs(phantoms(log, hanging=0), tmp_path / "there", engine=nodes.engine)
    (other,) = raylets.keys() - {killed.result()}
    assert [raylet for number, raylet in starts(log) if number == 0] == [killed.result(), other]
    assert sorted(number for number, _ in starts(log)) == [0, *range(12)]
    here = run_jobs(phantoms(tmp_path / "other log"), tmp_path / "here", engine=Processes(2))
    assert [len(result.value) for result in there] == [20] * 12
    assert [result.value for result in there] == [result.value for result in here]
    assert [result.where for result in there] == [result.where for result in here]


@pytest.mark.slow
def test_a_job_that_fails_says_what_it_says_at_home_and_the_others_are_done(nodes: Nodes, tmp_path: Path) -> None:
    refusals = {"toy_jobs:refuse": "no number today", "toy_jobs:refuse_with_facts": "shelf: expected books, got jars."}
    bad = [Job(work, work, {}) for work in refusals]
    square = Job("square", "toy_jobs:square", {"number": 3})
    found = {job.name: content for job, content in nodes.engine([*bad, square], tmp_path)}
    for work, said in refusals.items():
        assert found[work] == said
    assert found["square"]["value"] == {"square": 9}  # type: ignore[index]
    with pytest.raises(JobError, match=r"^job toy_jobs:refuse: no number today$"):
        run_jobs([bad[0], square], tmp_path, engine=nodes.engine)
    assert finished(square, tmp_path)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_job_tried_again_in_the_same_run(nodes: Nodes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    mortal = Job("mortal", "toy_jobs:die", {"log": str(log), "deaths": 1})
    ((_, content),) = nodes.engine([mortal], tmp_path / "jobs")
    assert content["value"] == {"square": 1}  # type: ignore[index]
    assert log.read_text() == "xx"


@pytest.mark.slow
def test_jobs_compute_in_one_thread_with_checkpoints_in_the_job_folder_or_their_own(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMOSCOPE_DATA", "images")
    monkeypatch.chdir(tmp_path)
    Path("jobs").mkdir()
    job = Job("surroundings", "toy_jobs:surroundings", {})
    shared, apart = (
        content["value"]  # type: ignore[index]
        for folder in ("jobs", "absent")
        for _, content in nodes.engine([job], Path(folder))
    )
    assert shared["checkpoint"] == str(tmp_path / "jobs" / f"{job.key}.checkpoint")
    assert not Path(apart["checkpoint"]).is_relative_to(tmp_path)
    assert not Path(apart["checkpoint"]).parent.exists()
    for found in (shared, apart):
        assert (found["threads"], found["variables"], found["data"]) == (1, ["1", ""], "images")
        assert found["faults"] < 100


@pytest.mark.slow
def test_a_worker_with_other_code_than_the_drivers_does_nothing(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(nodes.code))
    module = nodes.code / "toy_elsewhere.py"
    module.write_text("def work(arguments, checkpoint):\n    return 1\n")
    job = Job("elsewhere", "toy_elsewhere:work", {})
    assert job.key
    module.write_text("def work(arguments, checkpoint):\n    return 2\n")
    with pytest.raises(JobError, match=r"job elsewhere: its code on .* is not the driver's; install the same version"):
        run_jobs([job], tmp_path, engine=nodes.engine)


@pytest.mark.slow
def test_reproduce_does_its_jobs_on_the_cluster_and_prints_nothing_but_its_tables(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mortal = Job("mortal", "toy_jobs:die", {"log": str(tmp_path / "log"), "deaths": 1})

    class Parents:
        quick = True

        def plan(self) -> Plan:
            return Plan([mortal, *(Job(f"job {n}", "toy_jobs:surroundings", {"number": n}) for n in range(2))])

        def outcome(self, results: list[Result], absent: Any) -> Outcome:
            rows = [[r.job.name, str(r.value.get("parent"))] for r in results]
            return Outcome([Table("parents", ["job", "parent"], rows)], [])

    monkeypatch.setattr(protocols, "build", lambda *_, **__: Parents())
    words = ["reproduce", "parents", "--ray", nodes.cluster.address, "--out", str(tmp_path), "--json"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    (raylet,) = nodes.raylets
    assert json.loads(out)["tables"][0]["rows"] == [["mortal", "None"], ["job 0", str(raylet)], ["job 1", str(raylet)]]
    assert "3 of 3 jobs to do" in err
    assert re.search("with [12] at once", err)  # a node counts until it is missed
    assert "died" in err  # Ray's word on the worker


# what is refused


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"a Ray cluster needs .*: pip install 'normoscope\[cluster\]'\.$"):
        _ = RayCluster("auto").at_once


@pytest.mark.parametrize("address", ["", "here", "ray://host:10001", "host:port", ":6379"])
def test_what_is_no_address_is_refused(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'normoscope[cluster]'")
    with pytest.raises(OptionError, match="--ray: expected HOST:PORT of a Ray cluster's head, or auto, got"):
        _ = RayCluster(address).at_once


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'normoscope[cluster]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(OptionError, match=r"--ray: expected the address of a running Ray cluster .*refused"):
        _ = RayCluster(f"127.0.0.1:{port}").at_once
    assert time.monotonic() - began < 10


def test_reproduce_takes_processes_or_a_cluster_but_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "conocc2020", "--ray", "auto", "--processes", "2"])
    assert "not allowed with argument" in capsys.readouterr().err
