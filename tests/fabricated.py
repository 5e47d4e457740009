"""Finished results of any size without training: the files that a report reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from skimage import data

from irsde.experiment.code import code_hash
from irsde.experiment.grid import pairs_folder
from irsde.experiment.profile import PROFILE_FOLDER, Profile, load_profile, run_settings
from irsde.experiment.summary import StatedMetric
from irsde.files import digest_json, write_json, write_text
from irsde.images import to_float, to_pixels, write_image
from irsde.methods import method_of
from irsde.report.results import Entry, Row, entries
from irsde.report.table import Cell, Column, Line, Table
from irsde.scoring.protocols import PROTOCOLS

METRICS = (
    ("psnr", "PSNR (dB)", True, 2, 26.0, 3.0),
    ("ssim", "SSIM", True, 4, 0.8, 0.05),
    ("psnr_y", "PSNR-Y (dB)", True, 2, 28.0, 3.0),
    ("ssim_y", "SSIM-Y", True, 4, 0.82, 0.05),
    ("lpips", "LPIPS", False, 4, 0.2, 0.05),
    ("haarpsi", "HaarPSI", True, 4, 0.7, 0.05),
)
PREPARED = {  # what else a card of prepared pairs must have
    "dataset": "photographs-test",
    "degradation": "noise",
    "fingerprint": "f",
    "images": 1,
    "label": "photographs",
    "licence": "CC0",
    "role": "test",
    "source": {"differences": []},
    "task": "denoising",
}
VERSIONS = {"irsde": "0.1.0", "numpy": "2.4.6", "python": "3.11.7", "torch": "2.14.1"}


def fabricate(
    methods: Sequence[str] = ("identity", "regression", "ir-sde"),
    seeds: Sequence[int] = (0,),
    images: int = 6,
    kept: int = 2,
    side: int = 48,
    task: str = "denoising",
    dataset: str = "photographs-test",
    names: Sequence[str] = (),
    label: str = "{}",
    protocol: str = "rgb",
    network: str = "alex",
    metrics: Sequence[str] = ("psnr", "ssim", "lpips"),
    profile: Profile | None = None,
) -> list[Path]:
    """Write evaluations of a profile ``made`` below the working directory.

    Values are drawn from (method, seed, image), images are noisy windows of a photograph. The best
    method by luminance is the worst by RGB.

    Parameters
    ----------
    methods, seeds : sequence
        Runs; ``identity`` and ``classical`` get the first seed only.
    images, kept, side : int
        Test images, how many of them are kept, and their side in pixels.
    task, dataset : str
    names : sequence of str
        Names of the first images, where they are not ``image_<k>``.
    label : str
        Label of a method, with ``{}`` for its name.
    protocol, network : str
        Protocol, and network of LPIPS.
    metrics : sequence of str
        Metrics that were computed.
    profile : Profile, optional
        Whose settings the run cards have.

    Returns
    -------
    list of Path
        The evaluations' folders.
    """
    of_images = [*names, *(f"image_{k:04d}" for k in range(len(names), images))][:images]
    scenes = [f"scene_{k // 2:03d}" for k in range(images)]
    clean = _windows(kept, side)
    prepared = pairs_folder("made", task, dataset)
    _write_pairs(prepared, of_images, scenes, clean)
    folders = []
    for place, method in enumerate(methods):
        trained = method not in ("identity", "classical")
        for seed in seeds if trained else seeds[:1]:
            run = Path("results/made") / task / method / f"seed{seed}"
            kind = method_of(method)
            sampled = f"{kind.sampler}-{kind.nfe}"
            folder = run / "evaluations" / dataset / sampled
            (folder / "images").mkdir(parents=True, exist_ok=True)
            generator = np.random.default_rng([place, seed])
            for name, pixels in zip(of_images[:kept], clean, strict=True):
                noise = generator.normal(0, 0.12 / (place + 1), pixels.shape)
                noisy = to_pixels((to_float(pixels) + noise).astype(np.float32))
                write_image(folder / "images" / f"{name}.png", noisy)
            table = pd.DataFrame({"image": of_images, "scene": scenes})
            shared = np.random.default_rng(7).normal(size=images)
            for metric, _, higher, _, middle, spread in METRICS:
                better = (1 if higher else -1) * 0.25 * place * (-1) ** metric.endswith("_y")
                own = 0.2 * generator.normal(size=images)
                if metric in metrics:
                    table[metric] = middle + spread * (shared + better + own)
            table["nfe"] = kind.nfe
            table.to_csv(folder / "per_image.csv", index=False)
            card = _card(task, method, seed, label.format(method), trained)
            if profile is not None:
                card |= _of_profile(profile, task, method, seed)
            write_json(run / "run.json", card)
            summary = _summary(card, run, dataset, sampled, table)
            chosen = PROTOCOLS[protocol]
            summary["protocol"] = {
                "name": protocol,
                "version": chosen.version,
                "label": chosen.label,
                "channel": chosen.channel,
                "source": chosen.source,
            }
            summary["lpips"]["network"] = network
            write_json(folder / "summary.json", summary)
            folders.append(folder)
    return folders


def summary_of(method: str, **changes: object) -> dict:
    """The least that a `summary.json` of an evaluation holds."""
    return {
        "profile": "made",
        "task": "denoising",
        "task_label": "Denoising",
        "method": method,
        "method_label": method,
        "seed": 0,
        "run": f"results/made/denoising/{method}/seed0",
        "run_identity": "0",
        "dataset": PREPARED,
        "sampler": "direct",
        "nfe": 1,
        "parameters": 0,
        "protocol": {"name": "rgb"},
        "lpips": {"network": "alex"},
        "metrics": [],
        **changes,
    }


def write_profile(name: str = "made", **changes: object) -> Profile:
    """Write a profile that the fabricated results can be of, and read it."""
    content = {
        "caption": "Budget: 600 iterations.",
        "tasks": ["denoising"],
        "methods": ["identity", "regression", "ir-sde", "goub"],
        "seeds": [0],
        "data": {
            "train": "photographs-train",
            "validation": "photographs-validation",
            "test": "photographs-test",
        },
        "network": {"name": "nafnet", "width": 16},
        "training": {
            "iterations": 600,
            "batch": 8,
            "patch": 16,
            "learning_rate": 0.001,
            "checkpoint_every": 100,
            "validate_every": 100,
        },
        "evaluation": {},
        **changes,
    }
    write_text(PROFILE_FOLDER / f"{name}.yaml", yaml.safe_dump(content))
    return load_profile(name)


def _of_profile(profile: Profile, task: str, method: str, seed: int) -> dict:
    """Settings and identity that a run of the profile has in its card."""
    settings = run_settings(profile, task, method, seed)
    identity = {"settings": settings.hash}
    if settings.training:
        fingerprint = method_of(method).fingerprint(settings.stationary_std)
        identity["method"] = fingerprint
    return {"settings": settings.model_dump(mode="json"), "identity": identity}


def _windows(count: int, side: int) -> list[np.ndarray]:
    photograph = data.astronaut()
    tops = np.random.default_rng(0).integers(0, 512 - side, (count, 2))
    return [photograph[y : y + side, x : x + side] for y, x in tops]


def _write_pairs(
    folder: Path, images: Sequence[str], scenes: Sequence[str], clean: list[np.ndarray]
) -> None:
    (folder / "GT").mkdir(parents=True, exist_ok=True)
    lines = ["image,scene,gt,lq,mask,gt_sha256,lq_sha256,mask_sha256,source"]
    for name, scene, pixels in zip(images, scenes, clean, strict=False):
        write_image(folder / "GT" / f"{name}.png", pixels)
        quoted = name.replace('"', '""')
        lines.append(f'"{quoted}",{scene},"GT/{quoted}.png",,,,,,')
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")


def _card(task: str, method: str, seed: int, label: str, trained: bool) -> dict:
    return {
        "profile": "made",
        "task": task,
        "method": method,
        "label": label,
        "seed": seed,
        "identity": {"settings": digest_json([task, method, seed])},
        "settings": {
            "training": {"batch": 8, "iterations": 600, "patch": 16},
            "network": {"width": 16},
        },
        "iterations": 600 if trained else 0,
        "parameters": 380_000 if trained else 0,
        "leakage": {},
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "device": "cpu, 1 thread",
        "versions": VERSIONS,
    }


def _summary(card: dict, run: Path, dataset: str, sampled: str, table: pd.DataFrame) -> dict:
    sampler, _, nfe = sampled.rpartition("-")
    copied = ("profile", "task", "method", "seed", "parameters", "commit", "dirty", "versions")
    return {
        **{key: card[key] for key in copied},
        "task_label": card["task"].capitalize(),
        "method_label": card["label"],
        "run": run.as_posix(),
        "run_identity": digest_json(card["identity"]),
        "dataset": {
            "dataset": dataset,
            "label": "photographs, test part",
            "degradation": "Gaussian noise of standard deviation 25/255",
            "licence": "CC0",
            "pairs": len(table),
            "scenes": int(table["scene"].nunique()),
            "source": {"differences": []},
            "task": card["task"],
            "role": "test",
            "images": len(table),
            "fingerprint": digest_json([dataset, len(table)]),
        },
        "leaked": [],
        "code": code_hash("evaluate"),
        "sampler": sampler,
        "nfe": int(nfe),
        "grid": "uniform",
        "conversion": "exact",
        "weights": "ema",
        "precision": "float32",
        "sampling_seed": 0,
        "lpips": {"network": "alex", "unavailable": ""},
        "metrics": [
            {
                "name": name,
                "label": label,
                "higher_is_better": higher,
                "decimals": decimals,
                "mean": float(table[name].mean()),
            }
            for name, label, higher, decimals, _, _ in METRICS
            if name in table
        ],
    }


def quality_table(of_set: Sequence[Row], caption: str = "Made for tests.") -> Table:
    """Methods against metrics, as the report's own tables of a task."""
    first = of_set[0]
    metrics = first.summary.metrics
    columns = [Column(m.name, m.label, higher_is_better=m.higher_is_better) for m in metrics]
    found = entries(of_set)
    ranked = {metric.name: _ranked(found, metric) for metric in metrics}
    lines = []
    for place, entry in enumerate(found):
        cells = [_metric_cell(entry, m, ranked[m.name].index(place)) for m in metrics]
        name = Cell(entry.first.label, sources=entry.sources)
        lines.append(Line(entry.first.method, (name, *cells)))
    return Table(
        f"{first.task}-{first.dataset}",
        f"{first.summary.task_label}: {first.summary.dataset.label}",
        first.summary.task_label,
        caption,
        (Column("method", "method", numeric=False), *columns),
        tuple(lines),
    )


def _ranked(found: Sequence[Entry], metric: StatedMetric) -> list[int]:
    """Places of the entries, the best first; those without values last."""
    sign = -1 if metric.higher_is_better else 1
    values = [entry.values(metric.name) for entry in found]
    return sorted(
        range(len(found)),
        key=lambda k: (values[k] is None, 0 if values[k] is None else sign * values[k].mean()),
    )


def _metric_cell(entry: Entry, metric: StatedMetric, place: int) -> Cell:
    values = entry.values(metric.name)
    if values is None:
        return Cell("n/a", reason="not computed", sources=entry.sources)
    mean, decimals = float(values.mean()), metric.decimals
    if not np.isfinite(values).all():
        return Cell("∞", mean, sources=entry.sources)
    half = 1.96 * float(values.mean(axis=0).std()) / values.shape[1] ** 0.5
    return Cell(
        f"{mean:.{decimals}f} ± {half:.{decimals}f}",
        mean,
        mean - half,
        mean + half,
        emphasis={0: "best", 1: "second"}.get(place, ""),
        mark="≈" if place == 1 else "",
        sources=entry.sources,
    )


def cost_table(of_all: Sequence[Row]) -> Table:
    """Seconds of every evaluation, made up."""
    lines = []
    for number, row in enumerate(of_all):
        sources = (row.folder.as_posix(),)
        cells = (
            Cell(row.label, sources=sources),
            Cell(f"{number + 0.5:.2f}", number + 0.5, sources=sources),
            Cell(f"{100 + number}", 100 + number, sources=sources),
        )
        lines.append(Line(f"{row.task}-{row.method}-{row.summary.seed}", cells))
    columns = (
        Column("method", "method", numeric=False),
        Column("seconds", "seconds per image", higher_is_better=False),
        Column("memory", "peak (MiB)", higher_is_better=False),
    )
    return Table("cost", "Cost", "Cost", "Made for tests.", columns, tuple(lines))
