"""How many processes share the tests, which pyproject.toml leaves open by `-n auto`."""

import os
from collections import Counter

import pytest

MOST = 4  # each takes about a gigabyte
collect_ignore = ["tests/validate_crate.py"]  # a program of another environment

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads, before it is imported


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One for each core that may be used, but none for benchmarks, a single file or a test of it.

    Benchmarks measure time, and for little work the start of processes costs more than it spares.
    """
    paths = [argument.partition("::")[0] for argument in config.args]
    if any("benchmarks" in path for path in paths) or (
        len(paths) == 1 and paths[0].endswith(".py")
    ):
        return 0
    return min(MOST, len(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with most slow tests first: no process is left alone with them at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
