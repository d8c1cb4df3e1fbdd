"""Jobs are done once, survive kills, and know when code or arguments have changed."""

from __future__ import annotations

import errno
import importlib
import json
import mmap
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from normoscope.errors import FolderBusyError, JobError
from normoscope.fingerprints import code_fingerprint
from normoscope.runner import Job, Processes, finished, run_jobs
from toy_jobs import counts

HERE = Path(__file__).parent
ONE = Processes(1)


def squares(count: int, **more: object) -> list[Job]:
    return [Job(f"square {n}", "toy_jobs:square", {"number": n, **more}) for n in range(count)]


def test_results_come_in_the_jobs_order_and_finished_jobs_are_not_repeated(tmp_path: Path) -> None:
    log = tmp_path / "log"
    jobs = squares(3, log=str(log))
    first = run_jobs(jobs[:2], tmp_path / "jobs", engine=ONE)
    every = run_jobs(jobs, tmp_path / "jobs", engine=Processes(2))
    assert [r.value["square"] for r in every] == [0, 1, 4]
    assert every[:2] == first
    assert sorted(line.split()[0] for line in log.read_text().splitlines()) == ["0", "1", "2"]
    content = json.loads((tmp_path / "jobs" / f"{jobs[2].key}.json").read_text())
    assert content["arguments"]["number"] == 2
    assert content["where"]["threads"] == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_a_job_keeps_the_memory_it_will_ask_for_again(tmp_path: Path) -> None:
    (result,) = run_jobs([Job("faults", "toy_jobs:page_faults", {})], tmp_path, engine=ONE)
    pages = 2**26 // mmap.PAGESIZE
    assert max(result.value[1:]) < pages // 100


def test_equal_jobs_are_done_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    results = run_jobs([*squares(1, log=str(log)), *squares(1, log=str(log))], tmp_path / "jobs", engine=ONE)
    assert [r.value["square"] for r in results] == [0, 0]
    assert len(log.read_text().splitlines()) == 1


def test_one_job_that_fails_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    jobs = [*squares(2), Job("bad one", "toy_jobs:refuse", {})]
    with pytest.raises(JobError, match="job bad one: no number today"):
        run_jobs(jobs, tmp_path, engine=ONE)
    assert all(finished(job, tmp_path) for job in jobs[:2])
    assert finished(jobs[2], tmp_path) is None


def test_a_process_that_dies_is_replaced_and_its_job_tried_again(tmp_path: Path) -> None:
    mortal = Job("mortal", "toy_jobs:die", {"log": str(tmp_path / "log"), "deaths": 1})
    results = run_jobs([mortal, *squares(3)], tmp_path / "jobs", engine=ONE)
    assert [r.value["square"] for r in results] == [1, 0, 1, 4]


def test_a_process_that_always_dies_is_given_up(tmp_path: Path) -> None:
    mortal = Job("mortal", "toy_jobs:die", {"log": str(tmp_path / "log"), "deaths": 99})
    with pytest.raises(JobError, match="job mortal: its process died 3 times"):
        run_jobs([mortal], tmp_path / "jobs", engine=ONE)


def test_a_process_that_always_dies_does_not_take_the_other_jobs_with_it(tmp_path: Path) -> None:
    mortal = Job("mortal", "toy_jobs:die", {"log": str(tmp_path / "log"), "deaths": 99})
    others = squares(4, seconds=0.3)
    with pytest.raises(JobError, match=r"^job mortal: its process died 3 times"):
        run_jobs([mortal, *others], tmp_path / "jobs", engine=Processes(2))
    assert all(finished(job, tmp_path / "jobs") for job in others)


@pytest.mark.parametrize("to_all", [False, True])
def test_an_interrupt_ends_what_is_under_way_and_keeps_what_is_done(to_all: bool, tmp_path: Path) -> None:
    folder, log = tmp_path / "jobs", tmp_path / "log"
    jobs = [*squares(2, log=str(log)), *squares(8, seconds=60, log=str(log))]
    code = (
        "import pathlib, signal, toy_jobs\n"
        "from normoscope.runner import Job, Processes, run_jobs\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # what started the tests may ignore it
        f"    jobs = [Job(n, 'toy_jobs:square', a) for n, a in {[(job.name, dict(job.arguments)) for job in jobs]}]\n"
        f"    run_jobs(jobs, pathlib.Path({str(folder)!r}), engine=Processes(2))\n"
    )
    (tmp_path / "driver.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py")], env=environment, start_new_session=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 4 or len(list(folder.glob("*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (os.killpg if to_all else os.kill)(driver.pid, signal.SIGINT)
    assert driver.wait(30) != 0
    assert sum(finished(job, folder) is not None for job in jobs) == 2
    workers = {int(line.split()[1]) for line in log.read_text().splitlines()}
    time.sleep(0.5)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "a worker outlived the interrupt"
    assert run_jobs(jobs[:2], folder)[1].value == {"square": 1}, "the folder is free again"


def test_a_result_that_cannot_be_written_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("normoscope.runner.write_atomically", full)
    began = time.monotonic()
    with pytest.raises(OSError, match="No space"):
        run_jobs([*squares(1), *squares(4, seconds=60)], tmp_path, engine=Processes(2))
    assert time.monotonic() - began < 50


def test_a_second_run_is_kept_out_of_a_folder(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(FolderBusyError, match="where no other run is at work"):
        run_jobs(squares(1), tmp_path, engine=ONE)
    assert run_jobs(squares(1), tmp_path, engine=ONE)[0].value == {"square": 0}


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    job = squares(1)[0]
    (tmp_path / f"{job.key}.json").write_text('{"value"')
    with pytest.raises(JobError, match=rf"job square 0: its result .*{job.key}.json cannot be read .*delete the file"):
        run_jobs([job], tmp_path, engine=ONE)


@pytest.mark.slow
def test_a_driver_killed_twice_loses_no_finished_job_and_the_rest_goes_on(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "jobs"
    command = [sys.executable, "-m", "toy_jobs", str(folder), str(log)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    seen = 0
    for _ in range(2):
        driver = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + 60
        while log.exists() is False or len(log.read_text().splitlines()) < seen + 5:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        driver.kill()
        driver.wait()
        time.sleep(0.5)  # the workers notice and end
        seen = len(log.read_text().splitlines())
        time.sleep(0.5)
        assert len(log.read_text().splitlines()) == seen, "a worker outlived its driver"
    results = run_jobs(counts(log), folder, engine=Processes(2))
    assert [r.value for r in results] == [0, 10, 20, 30]
    lines = log.read_text().splitlines()
    # a number is counted twice only where a kill fell between counting and noting it
    assert len(set(lines)) == 40
    assert len(lines) <= 44
    assert not list(folder.glob("*.checkpoint"))


def test_a_key_knows_arguments_and_code_but_not_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "toy_work.py"

    def fingerprint(text: str) -> str:
        module.write_text(text)
        importlib.invalidate_caches()
        return code_fingerprint.__wrapped__(("toy_work",))

    plain = fingerprint("from normoscope.scoring import Pooling\nx = 1\n")
    assert fingerprint('"""What it is."""\nfrom normoscope.scoring import Pooling\n# why\nx  =  1\n') == plain
    assert fingerprint("from normoscope.scoring import Pooling\nx = 2\n") != plain
    assert fingerprint("from normoscope.images import batches\nx = 1\n") != plain
    assert len({job.key for job in [*squares(2), *squares(2, seconds=0)]}) == 4


def test_a_key_follows_imports_of_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_fingerprint.__wrapped__(("normoscope.methods.cae",))
    read = Path.read_bytes

    def changed(name: str) -> str:
        def edited(path: Path) -> bytes:
            return read(path) + (b"\nEXTRA = 1\n" if path.parts[-2:] == tuple(name.split("/")) else b"")

        monkeypatch.setattr(Path, "read_bytes", edited)
        return code_fingerprint.__wrapped__(("normoscope.methods.cae",))

    assert changed("nn/blocks.py") != before  # cae imports it through nn/autoencoder.py
    assert changed("normoscope/errors.py") == before
    assert changed("methods/vae.py") == before


def test_an_error_that_takes_facts_arrives_as_its_sentence(tmp_path: Path) -> None:
    job = Job("elsewhere", "toy_jobs:refuse_with_facts", {})
    with pytest.raises(JobError, match=r"^job elsewhere: shelf: expected books, got jars\."):
        run_jobs([job], tmp_path, engine=ONE)
