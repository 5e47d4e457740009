"""One attempt at a command: what its log keeps, and when Slurm starts its job again."""

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from irsde.machine.attempt import attempts, failures, run_attempt
from irsde.machine.signals import STOPPED_EXIT_CODE

ATTEMPT = (sys.executable, "-m", "irsde.machine.attempt")


def attempt(log, script: str, *options: str, **variables: str) -> int:
    command = [*ATTEMPT, *options, str(log), "sh", "-c", script]
    return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode


def last_attempt(log):
    return attempts(log)[-1]


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A function that has `scontrol show job` say something; it notes what it is asked to do."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("irsde.machine.attempt.SECONDS_UNTIL_KILLED", 0)

    def says(*texts: str):
        for number, text in enumerate(texts):
            (tmp_path / f"says{number}").write_text(text)
        file = tmp_path / "scontrol"
        file.write_text(
            f"#!/bin/sh\ncd {tmp_path}\n[ $1 = show ] || {{ echo $@ >> asked; exit; }}\n"
            "cat says0; [ ! -e says1 ] || mv says1 says0\n"
        )
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    return says


def test_a_log_keeps_every_attempt_and_says_how_the_last_one_ended(tmp_path):
    log = tmp_path / "logs/train.log"
    assert attempt(log, "echo first; exit 3") == 3
    found = last_attempt(log)
    assert (found.code, found.job, found.again) == (3, "", False)
    log.unlink()  # as Snakemake does
    assert attempt(log, "echo second >&2", SLURM_JOB_ID="12") == 0
    found = last_attempt(log)
    assert (found.code, found.job) == (0, "12")
    text = log.read_text()
    assert text.index("first") < text.index("ended with 3") < text.index("second")


def test_a_command_that_is_absent_or_killed_leaves_its_code(tmp_path):
    log = tmp_path / "a.log"
    assert subprocess.run([*ATTEMPT, str(log), "/nowhere"], check=False).returncode == 127
    assert "No such file" in log.read_text()
    assert attempt(log, "kill -KILL $$") == 128 + 9
    assert last_attempt(log).code == 137


def test_an_attempt_without_an_end_has_no_code(tmp_path):
    log = tmp_path / "a.log"
    attempt(log, "exit 0")
    assert attempt(log, "kill -KILL $PPID; sleep 1") == -signal.SIGKILL
    assert last_attempt(log).code is None
    (tmp_path / "b.attempts.log").write_text("what another program wrote\n")
    assert attempts(tmp_path / "b.log") == attempts(tmp_path / "absent.log") == []


def test_a_stop_signal_is_answered_by_the_command_alone(tmp_path):
    log = tmp_path / "a.log"
    script = "trap 'echo asked; exit 75' TERM; touch started; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [*ATTEMPT, str(log), "sh", "-c", script], cwd=tmp_path, start_new_session=True
    )
    while not (tmp_path / "started").exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == STOPPED_EXIT_CODE
    assert "asked" in log.read_text()
    assert last_attempt(log).code == STOPPED_EXIT_CODE


@pytest.mark.parametrize(
    ("state", "code", "again", "asked"),
    [
        ("JobState=RUNNING Restarts=2", STOPPED_EXIT_CODE, True, "requeue 12\n"),
        ("JobState=RUNNING Restarts=2", 2, False, ""),
        ("JobState=COMPLETING Restarts=2", STOPPED_EXIT_CODE, False, ""),  # cancelled
        ("JobState=COMPLETING Restarts=3", STOPPED_EXIT_CODE, True, ""),  # Slurm does it already
        ("JobState=COMPLETING Restarts=3", 143, True, ""),
        ("", STOPPED_EXIT_CODE, False, ""),
    ],
)
def test_slurm_starts_the_job_of_a_stopped_command_again(
    tmp_path, monkeypatch, scontrol, state, code, again, asked
):
    scontrol("JobState=RUNNING Restarts=2", state)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    before = {number: signal.getsignal(number) for number in (2, 10, 15)}
    log = tmp_path / "a.log"
    try:
        assert run_attempt(log, ["sh", "-c", f"exit {code}"], requeue=True) == code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert last_attempt(log).again is again
    noted = tmp_path / "asked"
    assert (noted.read_text() if noted.exists() else "") == asked


def test_calls_that_failed_are_counted_and_tries_of_one_call_are_not(tmp_path):
    log = tmp_path / "a.log"
    counts = [failures(log)]
    for code, number in ((1, 1), (1, 2), (0, 3), (0, 1), (1, 1), (0, 1)):
        attempt(log, f"exit {code}", "--number", str(number))
        counts.append(failures(log))
    assert counts == [0, 1, 1, 0, 0, 1, 1]


def test_starts_of_one_slurm_job_are_one_call(tmp_path):
    log = tmp_path / "a.log"
    attempt(log, "exit 75", SLURM_JOB_ID="3")
    attempt(log, "exit 0", SLURM_JOB_ID="3")
    assert failures(log) == 0


def test_what_two_attempts_write_at_once_is_told_apart(tmp_path):
    log = tmp_path / "a.log"
    attempt(log, f"{sys.executable} -m irsde.machine.attempt {log} sh -c 'exit 3'; exit 0")
    assert [one.code for one in attempts(log)] == [0, 3]


TWICE = """
import os, signal
from irsde.machine.signals import stop_on_signals
with stop_on_signals(repeated=True) as stop:
    os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
print(stop.signal)
"""


def test_the_second_signal_of_slurm_does_not_hide_that_a_training_stopped(tmp_path):
    process = [sys.executable, "-c", TWICE]
    outside = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
    ended = subprocess.run(process, env=outside, check=False)
    assert ended.returncode == -signal.SIGTERM
    in_job = {**outside, "SLURM_JOB_ID": "12"}
    assert subprocess.check_output(process, env=in_job, text=True) == "SIGTERM\n"


IMPATIENT = """
import os, signal, sys, time
from irsde.machine.signals import stop_on_signals
with stop_on_signals() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGTERM)
print(stop.signal)
"""


@pytest.mark.parametrize(("seconds", "code"), [("0.01", 0), ("1.1", -signal.SIGTERM)])
def test_two_signals_at_once_are_one_and_a_later_one_ends_the_process(seconds, code):
    process = [sys.executable, "-c", IMPATIENT, seconds]
    assert subprocess.run(process, check=False).returncode == code
