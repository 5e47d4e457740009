"""Calls on several cores at once: their results, their errors, and what ends them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import pytest

from irsde.files import InputError
from irsde.machine import cores
from irsde.machine.cores import in_forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(cores, "available_cores", lambda: 4)


def fail(text, seconds=0.0):
    time.sleep(seconds)
    raise InputError(text)


def call(code):
    """Run Python in a process of its own."""
    command = [sys.executable, "-c", f"from irsde.machine import cores\n{code}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_results_have_the_order_of_the_calls_and_come_from_forks(four_cores):
    calls = [lambda k=k: time.sleep(0.2 / (k + 1)) or (k, os.getpid()) for k in range(4)]
    numbers, makers = zip(*in_forks(calls, 4), strict=True)
    assert numbers == (0, 1, 2, 3)
    assert len({*makers}) > 1
    assert os.getpid() not in makers


@pytest.mark.parametrize(("processes", "available"), [(1, 4), (4, 1)])
def test_one_process_or_core_needs_no_fork(monkeypatch, processes, available):
    monkeypatch.setattr(cores, "available_cores", lambda: available)
    assert in_forks([os.getpid] * 3, processes) == [os.getpid()] * 3


def test_the_first_error_in_the_order_of_the_calls_is_raised(four_cores):
    with pytest.raises(InputError, match=r"^slow$"):
        in_forks([os.getpid, partial(fail, "slow", 0.3), partial(fail, "fast")], 3)


def test_a_killed_fork_is_an_error_that_says_so(four_cores):
    with pytest.raises(InputError, match=r"a process was killed; .* too small for 2 at once"):
        in_forks([os.getpid, lambda: os.kill(os.getpid(), signal.SIGKILL)], 2)


def test_forks_end_with_what_forked_them():
    program = """
import os, time
cores.available_cores = lambda: 2
work = lambda: os.write(1, b"%d\\n" % os.getpid()) and time.sleep(60)
cores.in_forks([work] * 2, 2)
"""
    with call(program) as process:
        forks = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
    end = time.monotonic() + 10
    while forks and time.monotonic() < end:
        time.sleep(0.05)
        for fork in forks[:]:
            with suppress(ProcessLookupError):
                os.kill(fork, 0)
                continue
            forks.remove(fork)
    assert forks == []


def test_a_fork_does_not_wait_for_threads_of_torch_that_are_gone():
    program = """
import torch
torch.set_num_threads(2)
work = lambda: torch.ones(10**7).exp().max().item()
assert work() > 0
cores.available_cores = lambda: 2
assert cores.in_forks([work] * 2, 2) == [work()] * 2
print("done")
"""
    with call(program) as process:
        try:
            assert process.communicate(timeout=60)[0].strip() == "done"
        finally:
            process.kill()
