"""A task is one entry in `tasks.TASKS`; without a classical method, `classical` is n/a for it."""

import numpy as np
import pytest

from irsde.tasks import TASKS, Task
from tests.project import call, copy_project

REASON = "there is no classical method for dimming"


def dimmed(image, generator, _):
    return (image * generator.uniform(0.3, 0.6)).astype(np.float32)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a profile for a task that was added."""
    monkeypatch.setitem(TASKS, "dimming", Task("Dimming", dimmed, lambda _: "less light"))
    copy_project(tmp_path)
    text = (tmp_path / "workflow/config/smoke.yaml").read_text()
    text = text.replace("tasks: [denoising, super-resolution]", "tasks: [dimming]")
    text = text.replace("regression, ir-sde+l2]", "regression]")
    text = text[: text.index("variants:")]
    (tmp_path / "workflow/config/dim.yaml").write_text(text)
    return tmp_path


def test_an_added_task_goes_through_every_stage(project):
    call(project, "irsde", "plan", "--profile", "dim")
    for role in ("train", "validation", "test"):
        call(project, "irsde", "data", "fetch", f"photographs-{role}")
    call(project, "irsde", "data", "prepare", "--task", "dimming")
    for method in ("identity", "regression"):
        call(project, "irsde", "train", "--task", "dimming", "--method", method, "--no-track")
        run = f"results/dim/dimming/{method}/seed0"
        call(project, "irsde", "evaluate", "--run", run, "--no-track")
    text = call(project, "irsde", "train", "--task", "dimming", "--method", "classical", code=2)
    assert f"classical on dimming: n/a, {REASON}" in text
    call(project, "irsde", "report", "--no-track")
    tables = (project / "reports/tables.md").read_text()
    assert "## Dimming" in tables
    assert REASON in tables
