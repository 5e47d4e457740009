"""Sentences that captions of tables and figures share: images, scoring, seeds, marks."""

from collections.abc import Callable, Collection, Iterable, Sequence

from irsde.experiment.cards import PreparedCard
from irsde.methods import METHODS, MethodName
from irsde.objectives import OBJECTIVES
from irsde.report.judging import line_names, metrics_of, rows_of
from irsde.report.results import Entry, Row
from irsde.report.table import Cell
from irsde.scoring.metrics import METRICS
from irsde.scoring.perceptual import network_label
from irsde.scoring.statistics import FEW_SCENES, SIGNIFICANCE


def about_images(row: Row) -> str:
    """Test set, number of images and scenes, degradation, and what else must be known of it."""
    data = row.summary.dataset
    count = len(row.per_image)
    scenes = row.per_image["scene"].nunique()
    label = data.label[:1].upper() + data.label[1:]
    text = f"{label}: {counted(count, 'image')} of {counted(scenes, 'scene')}, {data.degradation}."
    if leaked := len(row.summary.leaked):
        text += f" {leaked} of them show what a training or validation image shows."
    return text


def about_scores(row: Row, metrics: Collection[str] = ()) -> str:
    """Protocol of the metrics, and the networks of those that are shown."""
    protocol = row.summary.protocol
    text = f"Protocol {protocol.name} v{protocol.version}: {protocol.label}."
    for metric in row.summary.metrics:
        if metric.name in metrics and metric.weights:
            text += f" {metric.label} uses {network_label(metric.network)}."
    return text


def about_seeds(shown: Sequence[Entry]) -> str:
    """Training and sampling seeds of the entries shown."""
    parts = []
    training = sorted({seed for entry in shown for seed in entry.training_seeds})
    sampling = sorted({seed for entry in shown for seed in entry.sampling_seeds})
    if len(training) > 1:
        parts.append(f"training seeds {', '.join(map(str, training))}")
    if len(sampling) > 1:
        parts.append(f"sampling seeds {', '.join(map(str, sampling))}")
    if not parts:
        return "One training seed, one sampling seed."
    return f"Means over {' and '.join(parts)} where a method has them."


def about_sampling(swept: Sequence[Entry]) -> str:
    """Sampling seeds of a sweep, at which network evaluations, and the form of its samplers."""
    return f"{_seeds_at(swept)} {_forms(swept)}".strip()


def _forms(swept: Sequence[Entry]) -> str:
    """Which forms of the exponential integrators were run, and which were not."""
    names = [str(entry.first.summary.sampler) for entry in swept]
    integrators = [name for name in names if name.startswith("mrs-")]
    if not integrators:
        return ""
    if any(name.endswith("-data") for name in integrators):
        return "Exponential integrators: mrs-…-data in the clean image, the others in the noise."
    return (
        "The exponential integrators (mrs-…) are in their noise form; those in the clean image "
        "(mrs-…-data) were not run."
    )


def _seeds_at(swept: Sequence[Entry]) -> str:
    """Sampling seeds, and at which network evaluations where they differ."""
    at: dict[tuple[int, ...], set[int]] = {}
    for entry in swept:
        at.setdefault(tuple(entry.sampling_seeds), set()).add(entry.first.summary.nfe or 0)
    if len(at) == 1:
        return f"Sampling seeds: {', '.join(map(str, *at))}."
    parts = [
        f"{', '.join(map(str, seeds))} at {joined([str(nfe) for nfe in sorted(numbers)])} NFE"
        for seeds, numbers in sorted(at.items(), key=lambda item: min(item[1]))
    ]
    return f"Sampling seeds: {'; '.join(parts)}."


def counted(number: int, noun: str) -> str:
    """Number and noun.

    Examples
    --------
    >>> counted(1, "image"), counted(3, "image")
    ('1 image', '3 images')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def joined(parts: Sequence[str]) -> str:
    """Words as a list in a sentence.

    Examples
    --------
    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def about(group: Sequence[Entry]) -> str:
    """What must be known of a table: images, degradation, protocol, seeds, leakage, networks."""
    summary = group[0].first.summary
    data, protocol = summary.dataset, summary.protocol
    source = f" ({protocol.source.rstrip('.')})" if protocol.source else ""
    parts = [
        f"{data.label}: {counted(data.pairs, 'image')} of {counted(data.scenes, 'scene')}.",
        f"Degradation: {data.degradation}.",
        _agreement(data),
        f"Protocol {protocol.name} v{protocol.version}: {protocol.label}{source}.",
        seeds_of("Training", group, lambda entry: entry.training_seeds),
        seeds_of("Sampling", group, lambda entry: entry.sampling_seeds),
        _targets(group),
    ]
    if leaked := len(summary.leaked):
        parts.append(
            f"Leakage: {leaked} of the {data.pairs} test images show what a training or "
            "validation image shows, which the profile allows."
        )
    parts += [_about_metric(metric.name, group) for metric in metrics_of(rows_of(group))]
    if any(entry.first.summary.outside for entry in group):
        parts.append(
            "Rows marked (outside) are images restored by other programs and scored here; their "
            "training is not known."
        )
    return " ".join(part for part in parts if part)


def _about_metric(name: str, group: Sequence[Entry]) -> str:
    """Why a metric is n/a, and for whom, or its network where the paper has another."""
    stated = next(m for row in rows_of(group) if (m := row.summary.metric(name)))
    without: dict[str, list[str]] = {}
    for of, entry in zip(line_names(group), group, strict=True):
        if any(row.summary.missing(name) for row in entry.rows):
            without.setdefault(entry.missing(name), []).append(of)
    parts = [
        f"{stated.label} is n/a{f' of {joined(of)}' if len(of) < len(group) else ''}: {reason}."
        for reason, of in without.items()
    ]
    needed = METRICS[name].weights if name in METRICS else None
    if needed and stated.network not in ("", needed.papers):
        parts.append(
            f"{stated.label} uses {network_label(stated.network)}, not the paper's "
            f"{network_label(needed.papers)}: not comparable with the paper."
        )
    return " ".join(parts)


def _targets(group: Sequence[Entry]) -> str:
    """What the networks are trained to predict, where they differ in it."""
    of_target: dict[str, dict[str, None]] = {}
    for entry in group:
        method = METHODS.get(MethodName.parse(entry.first.method).base)
        if method is not None and method.is_trained:
            target = OBJECTIVES[method.objective].label
            of_target.setdefault(target, {})[entry.first.label] = None
    if len(of_target) < 2:
        return ""
    named = [f"{target} ({', '.join(labels)})" for target, labels in of_target.items()]
    return f"Methods also differ in what the network predicts: {'; '.join(named)}."


def _agreement(data: PreparedCard) -> str:
    """What the images are where they are not all those that the catalogue knows."""
    differences = data.source.differences
    return f"Not the data set as published: {'; '.join(differences)}." if differences else ""


def seeds_of(kind: str, group: Sequence[Entry], seeds: Callable[[Entry], list[int]]) -> str:
    """Seeds of most entries of a table, and who has others."""
    having: dict[str, list[str]] = {}
    for name, entry in zip(line_names(group), group, strict=True):
        having.setdefault(", ".join(map(str, seeds(entry))), []).append(name)
    most = max(having, key=lambda text: (len(having[text]), len(text)))
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
        over = "scenes, of one training, without the variation between trainings"
    few = f"; of {counted(scenes, 'scene')} they hold if scenes are normally distributed"
    return f"Intervals are Student's over {over}{few if scenes < FEW_SCENES else ''}."


def close(comparisons: int, what: str = "a difference") -> str:
    """Sentence on the mark ≈ in a table of so many comparisons."""
    family = f" for the {comparisons} comparisons of the table" if comparisons > 1 else ""
    corrected = f", corrected by Holm's method{family}," if family else ""
    return (
        f"≈ marks {what} that is not significant: the p-value of the t-test that belongs to its "
        f"interval{corrected} is above {SIGNIFICANCE:g}."
    )


def about_exact(cells: Iterable[Cell]) -> str:
    """Sentence on images that are restored exactly, "" where no cell has one."""
    if not any(cell.text.endswith(" exact)") for cell in cells):
        return ""
    return (
        "(k exact): k images are restored exactly and have an infinite PSNR; means and intervals "
        "exclude them; best, second and ≈ count them by ranks (Wilcoxon's signed-rank test)."
    )
