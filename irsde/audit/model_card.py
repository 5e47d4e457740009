"""Model cards: what committed weights are, saw and reach, for people and for model hubs.

The header is that of Hugging Face's model cards (`model-index`), which `huggingface_hub` reads.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import yaml

from irsde.audit.selection import WEIGHTS
from irsde.data.sets import CARD, dataset_folder, set_card
from irsde.experiment.cards import RunCard
from irsde.experiment.grid import Run
from irsde.experiment.profile import TaskData
from irsde.experiment.provenance import read_network_run
from irsde.experiment.summary import Summary, read_summary
from irsde.files import InputError, is_present
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import HEADLINES, PERCEPTUAL
from irsde.tasks import TASKS, Degradation

PIPELINE = "image-to-image"  # the hub's name for all tasks of this kind


def model_card(run: Run, scored: Collection[Path]) -> str:
    """Model card of a finished run in Markdown.

    Parameters
    ----------
    run : Run
    scored : collection of Path
        Folders of evaluations; those of the run are in the card.

    Raises
    ------
    InputError
        If the run has no network.
    """
    card, settings = read_network_run(run.folder)
    data, training = settings.data, settings.training
    if training is None or settings.network is None:
        raise InputError(f"{run.folder / 'run.json'}: is of no trained network")
    summaries = [read_summary(path) for path in scored if path.is_relative_to(run.folder)]
    network = {"nafnet": "ConditionalNAFNet", "unet": "ConditionalUNet"}[settings.network.name]
    left_out = ", ".join(data.without)
    return "\n".join(
        [
            *header(run, card, summaries),
            "",
            f"# {_title(run, card)}",
            "",
            f"A {network} of {(card.parameters or 0) / 1e6:.2f} million parameters, trained from "
            f"scratch: `irsde train --profile {run.profile} --task {run.task} --method "
            f"{run.method} --seed {run.seed}`.",
            "",
            f"- **Use**: `irsde restore photo.jpg --task {run.task} --method {run.method} "
            "--out restored`.",
            f"- **Budget**: {training.iterations:,} iterations on batches of "
            f"{training.batch} patches of {training.patch}x{training.patch} pixels, on "
            f"{card.device}. These are the averaged (EMA) weights of the last iteration.",
            f"- **Training images**: {_sources(data.train)}"
            + (f"; without scenes of {left_out}." if left_out else "."),
            f"- **Degradation**: {_degradation(run, data)}.",
            "- **Licence**: the terms of the training images, above, hold for the weights too.",
            "- **Limits**: made to compare methods at one small budget, not to restore as well as "
            "can be. Degradations unlike those of the training stay, and details may be invented.",
            f"- **File**: `{WEIGHTS}`, SHA-256 `{card.weights_sha256}`; settings and versions "
            "are in `run.json`.",
            "",
            *_table(summaries),
            "",
        ]
    )


def header(run: Run, card: RunCard, summaries: Sequence[Summary]) -> list[str]:
    """YAML header of a model card: how to find it, and its scores as a `model-index`."""
    results = [
        {
            "task": {"type": PIPELINE, "name": TASKS[run.task].label},
            "dataset": {
                "type": summary.dataset.dataset,
                "name": summary.dataset.label,
                "revision": summary.dataset.fingerprint,
                "split": summary.dataset.role,
            },
            "metrics": [
                {
                    "type": metric.name,
                    "name": f"{metric.label}, {summary.sampler}, {summary.nfe} NFE",
                    "value": metric.mean,
                    "args": {
                        "sampler": summary.sampler,
                        "nfe": summary.nfe,
                        "sampling_seed": summary.sampling_seed,
                        "protocol": summary.protocol.name,
                    },
                }
                for metric in summary.metrics
                if metric.mean is not None
            ],
        }
        for summary in summaries
    ]
    content = {
        "license": "other",
        "license_name": "terms-of-the-training-images",
        "library_name": "irsde",
        "pipeline_tag": PIPELINE,
        "tags": ["image-restoration", run.task, run.method],
        "datasets": list(card.settings.data.train),
        "model-index": [{"name": _title(run, card), "results": results}],
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**6)
    return ["---", *text.splitlines(), "---"]


def _title(run: Run, card: RunCard) -> str:
    return f"{TASKS[run.task].label} by {card.label}"


def _degradation(run: Run, data: TaskData) -> str:
    """What the training images were degraded by, in the words of the task."""
    level = Degradation.noise_level if data.noise_level is None else data.noise_level
    return TASKS[run.task].description(Degradation(level, data.clipped))


def _sources(names: Collection[str]) -> str:
    """Labels and licences of data sets."""
    described = []
    for name in names:
        folder = dataset_folder(name)
        card = set_card(folder) if is_present(folder / CARD) else None
        label, licence = (card.label, card.licence) if card else (name, "see data/catalogue.yaml")
        described.append(f"{label} ({licence})")
    return "; ".join(described)


def _table(summaries: Sequence[Summary]) -> list[str]:
    """Table of the scores of a run, of RGB."""
    names = (*HEADLINES["rgb"], *PERCEPTUAL)
    shown = [name for name in names if any(summary.metric(name) for summary in summaries)]
    labels = " | ".join(METRICS[name].label for name in shown)
    return [
        f"| test set | sampled by | images | {labels} |",
        f"|---|---|---:|{'---:|' * len(shown)}",
        *(_scores(summary, shown) for summary in summaries),
    ]


def _scores(summary: Summary, metrics: Sequence[str]) -> str:
    cells = [
        "n/a" if metric is None or metric.mean is None else f"{metric.mean:.{metric.decimals}f}"
        for metric in map(summary.metric, metrics)
    ]
    sampled = f"{summary.sampler}, {summary.nfe} NFE"
    label = summary.dataset.label
    return f"| {label} | {sampled} | {summary.dataset.pairs} | {' | '.join(cells)} |"
