"""Several processes that start at once on an empty store lose nothing."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from irsde.tracking import Tracker
Tracker("race").log_training(Path(sys.argv[1]))
"""


def run_folder(root: Path, seed: int) -> str:
    folder = Path(f"results/race/denoising/ir-sde/seed{seed}")
    (root / folder).mkdir(parents=True)
    card = {"task": "denoising", "method": "ir-sde", "seed": seed, "parameters": 1, "settings": {}}
    (root / folder / "run.json").write_text(json.dumps(card))
    (root / folder / "cost.json").write_text(json.dumps({"seconds": 1.0}))
    (root / folder / "training.csv").write_text("iteration,loss\n1,0.5\n2,0.25\n")
    return folder.as_posix()


def test_processes_that_start_at_once_on_an_empty_store_lose_nothing(tmp_path, monkeypatch):
    folders = [run_folder(tmp_path, seed) for seed in range(4)]
    children = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, folder], cwd=tmp_path) for folder in folders
    ]
    assert [child.wait(timeout=120) for child in children] == [0] * 4
    monkeypatch.chdir(tmp_path)
    from irsde.tracking import Tracker, sync

    tracker = Tracker("race")
    runs = tracker.client.search_runs([tracker.experiment], "tags.stage = 'train'")
    assert {run.data.tags["irsde.path"] for run in runs} == set(folders)
    assert len({run.data.tags["mlflow.parentRunId"] for run in runs}) == 1
    history = tracker.client.get_metric_history(runs[0].info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.25)]
    assert sync("race") == (0, 4)
