"""A Slurm of two nodes on this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("slurm.sh")
COMMANDS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sbatch")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a running cluster, which ends with the tests; they skip where it cannot start."""
    if os.geteuid() != 0 or os.environ.get("CI") != "true":
        pytest.skip("writes into /etc/slurm: as root with CI=true only")
    if absent := [name for name in COMMANDS if shutil.which(name) is None]:
        pytest.skip(f"{', '.join(absent)}: not installed")
    folder = tmp_path_factory.mktemp("slurm")
    os.environ.pop("SLURM_CONF", None)
    try:
        started = subprocess.run(
            ["bash", SCRIPT, "start", folder], stderr=subprocess.PIPE, text=True, check=False
        )
        if started.returncode != 0:
            pytest.skip(f"Slurm does not start on this machine: {started.stderr[-500:].strip()}")
        yield folder
    finally:
        subprocess.run(["bash", SCRIPT, "stop", folder], check=True, timeout=180)
