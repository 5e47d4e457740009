"""The script that measures a machine with a GPU, tried on the CPU at toy size."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

PROJECT = Path(__file__).resolve().parents[1]
SCRIPT = PROJECT / "benchmarks/gpu.sh"


def run(*arguments, **variables):
    return subprocess.run(
        (SCRIPT, *map(str, arguments)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **variables},
        check=False,
    )


@pytest.mark.slow
def test_every_part_runs_at_toy_size(tmp_path):
    done = run(tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stdout
    found = json.loads((tmp_path / "gpu.json").read_text())
    rows = {(row["part"], row["what"]): row for row in found["rows"]}
    values = {what: row["value"] for (_, what), row in rows.items()}
    assert "did not finish" not in values
    assert values["passed"] > 0
    assert "failed" not in values.values()
    assert values["weights, whole and resumed"] == "equal bits"
    assert values["killed after the checkpoint of iteration"] > 0
    assert {
        row["value"] for (part, _), row in rows.items() if part.startswith("two trainings")
    } == {"equal bits"}
    for timed in ("training step, batch 2 of 16²", "100 steps for a batch of 2 of 16²"):
        assert rows[timed, "ours, TF32"]["ratio"] > 0
        assert rows[timed, "authors' way, float32"]["ratio"] == 1
    assert "batch 2: memory" in values
    assert "posterior" in values
    table = (tmp_path / "gpu.md").read_text()
    for row in found["rows"]:
        assert f"| {row['what']} " in table
    assert found["machine"]["torch"] == torch.__version__


def test_without_a_gpu_it_says_so(tmp_path):
    done = run(tmp_path / "out", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stdout.startswith("benchmarks/gpu.sh: no CUDA device")
    assert not (tmp_path / "out").exists()
