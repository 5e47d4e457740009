"""The script that measures a machine with a GPU, tried on the CPU at toy size."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks import gpu

PROJECT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_every_part_runs_at_toy_size(tmp_path):
    done = subprocess.run(
        (PROJECT / "benchmarks/gpu.sh", tmp_path, "--device", "cpu"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
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
    for timed in ("training step, batch 2 of 16²", "10 steps for a batch of 2 of 16²"):
        assert rows[timed, "ours, TF32"]["ratio"] > 0
        assert rows[timed, "authors' way, float32"]["ratio"] == 1
    assert "batch 2: memory" in values
    assert "posterior" in values
    table = (tmp_path / "gpu.md").read_text()
    for row in found["rows"]:
        assert f"| {row['what']} " in table
    assert found["machine"]["torch"] == torch.__version__


def test_the_tests_that_it_runs_on_a_gpu_are_there():
    for size in gpu.SIZES.values():
        assert [name for name in size.tests if not (PROJECT / name).is_file()] == []


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["benchmarks/gpu.sh", str(tmp_path / "out")])
    assert gpu.main() == 2
    assert capsys.readouterr().out.startswith("benchmarks/gpu.sh: no CUDA device")
    assert not (tmp_path / "out").exists()
