"""Seconds to report 200,000 per-image rows: `pytest benchmarks/test_report.py --benchmark-only`.

Evaluations are read from files, every table but the paper's is made and written as text; goal: at
most 20 s on one core. Figures are not drawn. Seconds are CPU times and are not asserted.
"""

import time

import numpy as np
import pandas as pd
import pytest

from irsde.files import digest_json, write_json
from irsde.report.effects import seed_tables, significance_tables
from irsde.report.render import csv_lines, document, latex_document
from irsde.report.results import read_rows
from irsde.report.tables import metrics_tree, quality_tables

IMAGES = 5000
METRICS = (
    ("psnr", "PSNR (dB)", True, 2, 3.0),
    ("ssim", "SSIM", True, 4, 0.05),
    ("psnr_y", "PSNR-Y (dB)", True, 2, 3.0),
    ("ssim_y", "SSIM-Y", True, 4, 0.05),
    ("lpips", "LPIPS", False, 4, 0.05),
)


def evaluations(root, tables, methods, seeds, images_of_a_scene):
    """Folders of made-up evaluations, each with 5000 rows."""
    generator = np.random.default_rng(0)
    scene = generator.normal(size=IMAGES)
    folders = []
    for k, method, seed in np.ndindex(tables, methods, seeds):
        run = root / f"results/made/denoising/m{method}/seed{seed}"
        folder = run / f"evaluations/set{k}/posterior-100"
        table = pd.DataFrame({"image": [f"image{i:04d}" for i in range(IMAGES)]})
        table["scene"] = [f"scene{i // images_of_a_scene:04d}" for i in range(IMAGES)]
        for name, _, higher, _, deviation in METRICS:
            own = 0.05 * generator.normal(size=IMAGES) + 0.01 * method * (1 if higher else -1)
            table[name] = 0.5 + deviation * (scene + own)
        table["nfe"] = 100
        folder.mkdir(parents=True)
        table.to_csv(folder / "per_image.csv", index=False)
        identity = {"method": method, "seed": seed}
        card = {"task": "denoising", "label": f"method {method}", "settings": {}, "parameters": 1}
        write_json(run / "run.json", {**identity, **card, "identity": identity})
        write_json(
            folder / "summary.json",
            {
                "task": "denoising",
                "task_label": "Denoising",
                "method": f"m{method}",
                "method_label": f"method {method}",
                "seed": seed,
                "sampling_seed": 0,
                "run": run.as_posix(),
                "run_identity": digest_json(identity),
                "dataset": {
                    "dataset": f"set{k}",
                    "label": f"set {k}",
                    "pairs": IMAGES,
                    "scenes": IMAGES // images_of_a_scene,
                    "degradation": "none",
                    "source": {"differences": []},
                },
                "profile": "made",
                "commit": None,
                "dirty": False,
                "leaked": [],
                "sampler": "posterior",
                "nfe": 100,
                "parameters": 380_000,
                "protocol": {"name": "rgb", "version": 1, "label": "8-bit RGB"},
                "lpips": {"network": "alex", "unavailable": ""},
                "metrics": [
                    {"name": n, "label": label, "higher_is_better": higher, "decimals": decimals}
                    for n, label, higher, decimals, _ in METRICS
                ],
            },
        )
        folders.append(folder)
    return folders


@pytest.mark.benchmark(group="report of 200,000 rows", timer=time.process_time)
@pytest.mark.parametrize(
    ("tables", "methods", "seeds", "images_of_a_scene"),
    [(8, 5, 1, 1), (1, 40, 1, 1), (2, 10, 2, 1), (8, 5, 1, 10)],
    ids=["8x5", "1x40", "2x10, two seeds", "8x5, scenes of ten"],
)
def test_two_hundred_thousand_rows(benchmark, tmp_path, tables, methods, seeds, images_of_a_scene):
    folders = evaluations(tmp_path, tables, methods, seeds, images_of_a_scene)

    def report():
        rows = read_rows(folders)
        made = [*quality_tables(rows, {}), *significance_tables(rows), *seed_tables(rows)]
        csv_lines(made).to_csv(index=False)
        latex_document(made)
        metrics_tree(rows)
        return document("made", "", made, [])

    text = benchmark.pedantic(report, rounds=1, iterations=1)
    assert text.count("Table `") == (3 if seeds > 1 else 2) * tables
    assert "nan" not in text
