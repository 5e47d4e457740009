"""The tutorials: every command runs as it stands, in a fresh project, page by page."""

import re
import shutil
from pathlib import Path

import pytest

from tests.project import PROJECT, call, copy_project
from tests.test_docs import BLOCK, TUTORIALS

LEFT = {
    "score-a-folder": ["scored/jpeg-50/per_image.csv", "difference.png", "reports/tables.md"],
    "reproduce-a-row": ["reports/provenance.json"],
    "own-data": ["results/mine/denoising/regression/seed0/run.json", "restored/restored.json"],
}
SAID = {
    "score-a-folder": r"PSNR \(dB\): B is better",
    "reproduce-a-row": r"dehazing/regression/seed0/\S+: 4 images, equal",
    "own-data": ": all agree",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs(page, tmp_path):
    copy_project(tmp_path)
    if "reports/study" in page.read_text():
        shutil.copytree(PROJECT / "reports/study", tmp_path / "reports/study")
    blocks = [block for mark, _, block in BLOCK.findall(page.read_text()) if not mark]
    assert len(blocks) >= 3
    commands = ["bash", "-euo", "pipefail", "-c", "".join(blocks)]
    output = call(tmp_path, *commands, PYTHONPATH=str(PROJECT))
    assert re.search(SAID[page.stem], output), output
    for name in LEFT[page.stem]:
        assert Path(tmp_path, name).is_file(), name


def test_every_tutorial_says_what_it_leaves():
    assert LEFT.keys() == SAID.keys() == {page.stem for page in TUTORIALS}
