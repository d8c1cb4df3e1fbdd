"""Runs tell how far they are: a bar at a terminal, a line now and then in a log, nothing where nobody asked."""

from __future__ import annotations

import io
import sys
import time

import pytest

from normoscope import job_progress
from normoscope.job_progress import JobProgress, duration


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(job_progress.time, "monotonic", lambda: made.now)
    return made


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h")]
)
def test_times_are_said_in_the_unit_that_people_use(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_time_left_is_the_expected_work_of_all_over_those_at_work_less_what_has_passed(clock: Clock) -> None:
    progress = JobProgress(3, {"a": 100.0, "b": 200.0, "c": 300.0}, 2, shown=False)
    assert progress.remaining() == pytest.approx(300)
    clock.now = 50
    assert progress.remaining() == pytest.approx(250)


def test_time_left_is_no_less_than_the_longest_job_takes(clock: Clock) -> None:
    assert JobProgress(1, {"a": 1000.0}, 16, shown=False).remaining() == pytest.approx(1000)
    assert JobProgress(2, {"a": 10.0, "b": 1000.0}, 2, shown=False).remaining() == pytest.approx(1000)


def test_time_left_follows_what_jobs_took_and_a_short_one_says_little(clock: Clock) -> None:
    progress = JobProgress(3, {"short": 1.0, "long": 1000.0, "other": 999.0}, 1, shown=False)
    clock.now = 20
    progress.advance("short", "short", 20.0)
    assert progress.remaining() == pytest.approx(2000 * (20 + 100) / (1 + 100) - 20)
    clock.now = 2020
    progress.advance("long", "long", 2000.0)
    assert progress.remaining() == pytest.approx(2000 * (2020 + 100) / (1001 + 100) - 2020)


def test_without_costs_the_time_left_is_unknown_until_a_job_has_succeeded(clock: Clock) -> None:
    progress = JobProgress(5, {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, 1, shown=False)
    assert progress.remaining() is None
    progress.advance("a", "a", None)
    assert progress.remaining() is None
    clock.now = 60
    progress.advance("b", "b", 50.0)
    assert progress.remaining() == pytest.approx(4 * 50 - 60)


def test_the_time_left_is_never_below_nothing(clock: Clock) -> None:
    progress = JobProgress(1, {"a": 10.0}, 1, shown=False)
    clock.now = 1000
    assert progress.remaining() == 0


def test_a_log_gets_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with JobProgress(9, {"a": 600.0, "b": 600.0, "c": 600.0, "d": 600.0}, 1, shown=True) as progress:
        clock.now = 10
        progress.advance("a", "first", 10.0)
        assert capsys.readouterr() == ("", "")
        clock.now = 600
        progress.advance("b", "cae, seed 1", 1190.0)
        told = capsys.readouterr().err
        assert told == "note: 7 of 9 jobs done, last cae, seed 1: 20 min, about 30 min left\n"
        clock.now = 700
        progress.advance("c", "cae, seed 2", None)
        assert "8 of 9 jobs done, last cae, seed 2: failed, about" in capsys.readouterr().err
        clock.now = 800
        progress.advance("d", "cae, seed 3", 100.0)
        assert capsys.readouterr().err == "note: 9 of 9 jobs done, last cae, seed 3: 2 min\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_is_said_where_nobody_asked(
    stream: type[io.StringIO], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    with JobProgress(1, {"a": 600.0}, 1, shown=False) as progress:
        clock.now = 600
        progress.advance("a", "a", 600.0)
    assert sys.stderr.getvalue() == ""


def test_a_terminal_gets_a_bar_whose_time_left_runs_while_a_long_job_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(job_progress, "_BETWEEN_LOOKS", 0.01)
    with JobProgress(3, {"a": 5400.0, "b": 5400.0}, 1, shown=True) as progress:
        by = time.monotonic() + 30
        while "about 3.0 h left" not in sys.stderr.getvalue():
            assert time.monotonic() < by, sys.stderr.getvalue()
            time.sleep(0.01)
        assert "1 of 3 jobs:   0%" in sys.stderr.getvalue()
        progress.advance("a", "a", 5400.0)
    assert "2 of 3 jobs:  50%" in sys.stderr.getvalue()
    assert "note:" not in sys.stderr.getvalue()
