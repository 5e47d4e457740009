"""Sentences that stand above tables: which images, scored how, which seeds, what marks mean."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from irsde.methods import METHODS
from irsde.perceptual import PAPERS_NETWORK, network_label
from irsde.report.captions import counted
from irsde.report.cells import line_names
from irsde.report.rows import Entry
from irsde.statistics import FEW_SCENES, SIGNIFICANCE, too_few

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
    """What ±, bold, underlined and ≈ mean in a table of so many comparisons a column."""
    scenes = len(set(group[0].scenes))
    several = any(len(entry.training_seeds) > 1 for entry in group)
    parts = [
        f"± is half of the 95 % bootstrap interval over scenes{' and training seeds' * several}"
        f"{unreliable(scenes)}.",
        "Bold is the best, underlined the second.",
    ]
    if not comparisons:
        return " ".join(parts)
    if reason := too_few(scenes, comparisons):
        parts.append(
            f"Too few images for a test of the differences ({reason}); ≈ marks a difference from "
            "the best, paired by image, whose 95 % interval contains 0."
        )
    else:
        parts.append(
            "≈ marks a difference from the best that is not significant: paired by image, either "
            "the p-value of the Wilcoxon signed-rank test over scenes, corrected by Holm's method "
            f"for the {counted(comparisons, 'comparison')} of a column, is above "
            f"{SIGNIFICANCE:g}, or the 95 % interval contains 0."
        )
    return " ".join(parts)


def unreliable(scenes: int) -> str:
    """Words after the interval of so few scenes that it cannot be trusted."""
    if scenes >= FEW_SCENES:
        return ""
    return f" ({counted(scenes, 'scene')} are too few for a reliable interval)"
