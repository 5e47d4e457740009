"""Sentences that captions of figures share: which images, how many, scored how, at which budget."""

from collections.abc import Sequence

from irsde.perceptual import network_label
from irsde.report.rows import Entry, Row


def about_images(row: Row) -> str:
    """Test set, number of images and scenes, degradation, and what else must be known of it."""
    data = row.summary["dataset"]
    count = len(row.per_image)
    scenes = row.per_image["scene"].nunique()
    label = data["label"][:1].upper() + data["label"][1:]
    text = (
        f"{label}: {counted(count, 'image')} of {counted(scenes, 'scene')}, {data['degradation']}."
    )
    if leaked := len(row.summary["leaked"]):
        text += f" {leaked} of them show what a training or validation image shows."
    return text


def about_scores(row: Row, *, lpips: bool = False) -> str:
    """Protocol of the metrics, and the network of LPIPS where it is shown."""
    protocol = row.summary["protocol"]
    text = f"Protocol {protocol['name']} v{protocol['version']}: {protocol['label']}."
    if lpips:
        text += f" LPIPS uses {network_label(row.summary['lpips']['network'])}."
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
    names = [str(entry.first.summary["sampler"]) for entry in swept]
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
        at.setdefault(tuple(entry.sampling_seeds), set()).add(int(entry.first.summary["nfe"]))
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
