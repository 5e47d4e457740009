"""Sentences that stand above tables: which images, scored how, which seeds, what marks mean."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from irsde.methods import METHODS
from irsde.perceptual import PAPERS_NETWORK, network_label
from irsde.report.captions import counted
from irsde.report.cells import line_names
from irsde.report.rows import Entry
from irsde.report.table import Cell
from irsde.statistics import FEW_SCENES, SIGNIFICANCE

TARGETS = {
    "clean": "the clean image",
    "maximum-likelihood": "the noise of maximum likelihood",
    "noise": "the noise",
    "velocity": "the velocity",
}


def about(group: Sequence[Entry]) -> str:
    """What must be known of a table: images, degradation, protocol, seeds, leakage, LPIPS."""
    summary = group[0].first.summary
    data, protocol = summary["dataset"], summary["protocol"]
    source = f" ({protocol['source'].rstrip('.')})" if protocol.get("source") else ""
    parts = [
        f"{data['label']}: {counted(data['pairs'], 'image')} of "
        f"{counted(data['scenes'], 'scene')}.",
        f"Degradation: {data['degradation']}.",
        _agreement(data),
        f"Protocol {protocol['name']} v{protocol['version']}: {protocol['label']}{source}.",
        seeds_of("Training", group, lambda entry: entry.training_seeds),
        seeds_of("Sampling", group, lambda entry: entry.sampling_seeds),
        _targets(group),
    ]
    if leaked := len(summary["leaked"]):
        parts.append(
            f"Leakage: {leaked} of the {data['pairs']} test images show what a training or "
            "validation image shows, which the profile allows."
        )
    if reason := summary["lpips"]["unavailable"]:
        parts.append(f"LPIPS is n/a: {reason}.")
    elif (network := summary["lpips"]["network"]) != PAPERS_NETWORK:
        parts.append(
            f"LPIPS uses {network_label(network)}, not the paper's "
            f"{network_label(PAPERS_NETWORK)}: not comparable with the paper."
        )
    if any(entry.first.summary.get("outside") for entry in group):
        parts.append(
            "Lines marked (outside) are images restored by other programs, scored here; how they "
            "were trained is not known."
        )
    return " ".join(part for part in parts if part)


def _targets(group: Sequence[Entry]) -> str:
    """What the networks are trained to predict, where they differ in it."""
    of_target: dict[str, dict[str, None]] = {}
    for entry in group:
        method = METHODS.get(entry.first.method.partition("+")[0])
        if method is not None and method.is_trained:
            target = TARGETS.get(method.objective, method.objective)
            of_target.setdefault(target, {})[entry.first.label] = None
    if len(of_target) < 2:
        return ""
    named = [f"{target} ({', '.join(labels)})" for target, labels in of_target.items()]
    return f"Methods also differ in what the network predicts: {'; '.join(named)}."


def _agreement(data: Mapping[str, Any]) -> str:
    """What the images are where they are not all those that the catalogue knows."""
    differences = data["source"]["differences"]
    return f"Not the data set as published: {'; '.join(differences)}." if differences else ""


def seeds_of(kind: str, group: Sequence[Entry], seeds: Callable[[Entry], list[int]]) -> str:
    """Seeds of most entries of a table, and who has others."""
    having: dict[str, list[str]] = {}
    for name, entry in zip(line_names(group), group, strict=True):
        having.setdefault(", ".join(map(str, seeds(entry))), []).append(name)
    most = max(having, key=lambda found: (len(having[found]), len(found)))
    others = "; ".join(f"{s} for {', '.join(who)}" for s, who in having.items() if s != most)
    return f"{kind} seeds: {most} ({others})." if others else f"{kind} seeds: {most}."


def rule(group: Sequence[Entry], comparisons: int) -> str:
    """What ±, bold, underlined and ≈ mean in a table of so many comparisons."""
    parts = [
        f"± is half of the 95 % interval of a mean. {interval_of(group)}",
        "Bold is the best, underlined the second.",
    ]
    if comparisons:
        parts.append(close(comparisons, "a difference from the best, paired by image,"))
    return " ".join(parts)


def interval_of(group: Sequence[Entry]) -> str:
    """Sentence on what the intervals of a table are over, and when they can be trusted."""
    scenes = len(set(group[0].scenes))
    if any(len(entry.training_seeds) > 1 for entry in group):
        over = "scenes and, where a method has several, training seeds"
    else:
        over = "scenes, of one training: what another would change is not in them"
    few = f"; of {counted(scenes, 'scene')} they hold if scenes are normally distributed"
    return f"Intervals are Student's over {over}{few if scenes < FEW_SCENES else ''}."


def close(comparisons: int, what: str = "a difference") -> str:
    """Sentence on the mark ≈ in a table of so many comparisons."""
    family = f" for the {comparisons} comparisons of the table" if comparisons > 1 else ""
    corrected = f", corrected by Holm's method{family}," if family else ""
    return (
        f"≈ marks {what} that may be chance: the p-value of the t-test that belongs to its "
        f"interval{corrected} is above {SIGNIFICANCE:g}."
    )


def about_exact(cells: Iterable[Cell]) -> str:
    """Sentence on images that are restored exactly, "" where no cell has one."""
    if not any(cell.text.endswith(" exact)") for cell in cells):
        return ""
    return (
        "(k exact): k images are restored exactly and have an infinite PSNR; means and intervals "
        "leave them out, best, second and ≈ count them by ranks (Wilcoxon's signed-rank test)."
    )
