"""Anyone's restored images: scored like ours, and put beside ours where they are of a test set."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from irsde import provenance
from irsde.config import Profile, check_name
from irsde.data.catalogue import ENDINGS
from irsde.data.datasets import dataset_card, read_records
from irsde.devices import compute_device
from irsde.files import InputError, digest, digest_json, replacing_folder, write_json
from irsde.images import Pixels, read_image, to_float, write_image
from irsde.metrics import METRICS
from irsde.plan import OUTSIDE, Evaluation, Run, pairs_folder
from irsde.progress import track
from irsde.protocols import PROTOCOLS
from irsde.scoring import (
    Score,
    exact_images,
    mean_text,
    protocol_means,
    reference_hash,
    score,
    score_card,
    write_table,
)
from irsde.tasks import TASKS

BATCH = 8


@dataclass(frozen=True)
class PreparedSet:
    """A prepared test set of a profile that images are restored from.

    Parameters
    ----------
    profile : Profile
    task, dataset : str
    leaked : collection of str
        Its images that the profile's training data show.
    """

    profile: Profile
    task: str
    dataset: str
    leaked: Collection[str] = ()

    @property
    def folder(self) -> Path:
        """Folder of the prepared pairs."""
        return pairs_folder(self.profile.name, self.task, self.dataset)


def evaluate_restored(
    restored: Path,
    reference: Path | None,
    protocol: str,
    name: str,
    out: Path | None,
    test_set: PreparedSet | None = None,
    *,
    all_protocols: bool = False,
) -> tuple[str, Path]:
    """Score a folder of restored images against a folder of clean ones, paired by file name.

    Parameters
    ----------
    restored : Path
        Folder of 8-bit PNG, JPEG or BMP files, one for each clean image, of its name and size.
    reference : Path, optional
        Folder of clean images; those of the test set unless given.
    protocol : str
        A key of `protocols.PROTOCOLS`.
    name : str
        Of the method, for tables.
    out : Path, optional
        Folder to write `per_image.csv`, `protocols.csv` and `summary.json` to; may be left out
        where a test set is given.
    test_set : PreparedSet, optional
        Test set that the images are restored from: the result then also stands where an
        evaluation of the profile does, and joins its tables.
    all_protocols : bool
        Add the means under every protocol to the text.

    Returns
    -------
    str, Path
        What was scored, the means, and what was written; the first folder written.

    Raises
    ------
    InputError
        If an image is missing or of another size, a folder holds no images, or the output exists.
    """
    check_name("protocol", protocol, PROTOCOLS)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise InputError(f"--name {name!r}: needs a letter or digit")
    scenes: dict[str, str] = {}
    folders = [out] if out else []
    if test_set is not None:
        usual = test_set.profile.evaluation.protocol
        if protocol != usual:
            raise InputError(
                f"--protocol {protocol}: the tables of {test_set.profile.name} use {usual}; leave "
                "out --task and --dataset, or change the profile"
            )
        scenes = {record.image: record.scene for record in read_records(test_set.folder)}
        reference = reference or test_set.folder / "GT"
        run = Run(test_set.profile.name, test_set.task, f"{OUTSIDE}+{slug}", 0)
        folders.insert(0, Evaluation(run, test_set.dataset, "direct", 0).folder)
    if reference is None or not folders:
        raise InputError(
            "irsde evaluate --restored: give --reference and --out, or --task and --dataset"
        )
    for folder in folders:
        if folder.exists():
            raise InputError(f"{folder}: exists already; choose another --out or --name")
    pairs, ignored = _paired(restored, reference, scenes)
    scored = _scored(pairs, name, protocol)
    order = list(scenes) or list(scored)
    table = pd.DataFrame([{"image": image, **scored[image].score.values} for image in order])
    protocols = pd.DataFrame([line for i in order for line in scored[i].score.by_protocol])
    if test_set is not None:
        table.insert(1, "scene", [scenes[image] for image in order])
        table["nfe"] = 0
    table["reference"] = [scored[image].reference for image in order]
    card: dict[str, Any] = {
        "method_label": name,
        "outside": True,
        "restored": restored.as_posix(),
        "reference": reference.as_posix(),
        "images": len(table),
        "identity": {"restored": digest_json({i: scored[i].sha256 for i in order})},
        "versions": provenance.versions(),
        "code": provenance.code_hash("evaluate"),
        **provenance.commit(),
        **score_card(
            protocol,
            table,
            [scored[image].score.features for image in order],
            test_set.dataset if test_set else name,
        ),
    }
    kept: list[str] = []
    if test_set is not None:
        card |= _evaluation_card(test_set, run, card["identity"])
        keep = test_set.profile.evaluation.keep_images
        kept = order if keep == "all" else order[:keep]
        _write_run_card(run, card)
    for folder in folders:
        with replacing_folder(folder) as temporary:
            (temporary / "images").mkdir()
            for ours, theirs in pairs:
                if theirs.stem in kept:
                    write_image(temporary / "images" / f"{theirs.stem}.png", read_image(ours))
            write_table(temporary / "per_image.csv", table)
            write_table(temporary / "protocols.csv", protocols)
            write_json(temporary / "summary.json", card)
            write_json(temporary / "cost.json", {})
    text = [f"{name}: {len(table)} images under protocol {protocol}, {PROTOCOLS[protocol].label}"]
    text += [f"{m.label}: {mean_text(table, key)}" for key, m in METRICS.items()]
    if exact := exact_images(table):
        text.append(f"restored exactly: {exact}")
    if ignored:
        text.append(f"{ignored} other images in {restored} were left out")
    if all_protocols:
        text += ["", protocol_means(protocols), ""]
    return "\n".join([*text, *(f"{folder}: written" for folder in folders)]), folders[0]


@dataclass(frozen=True)
class _Scored:
    """Scores of an image, the SHA-256 of its restored pixels, and the hash of the clean ones."""

    score: Score
    sha256: str
    reference: str


def _scored(pairs: Sequence[tuple[Path, Path]], name: str, protocol: str) -> dict[str, _Scored]:
    """Scores of every image by its name."""
    found: dict[str, _Scored] = {}
    with compute_device(1) as device:
        for batch in track(_batches(pairs), f"scoring {name}", len(pairs), size=len):
            names = [loaded.name for loaded in batch]
            images = to_float(np.stack([loaded.restored for loaded in batch]))
            clean = np.stack([loaded.clean for loaded in batch])
            scores = score(names, images, clean, protocol, str(device))
            for loaded, of_image in zip(batch, scores, strict=True):
                pixels = digest(loaded.restored.tobytes())
                found[loaded.name] = _Scored(of_image, pixels, reference_hash(loaded.clean))
    return found


def _paired(
    restored: Path, reference: Path, scenes: dict[str, str]
) -> tuple[list[tuple[Path, Path]], int]:
    """Restored and clean files of one name, and how many restored ones have no clean one."""
    ours, theirs = _by_stem(restored), _by_stem(reference)
    if scenes and set(theirs) != set(scenes):
        theirs = {stem: path for stem, path in theirs.items() if stem in scenes}
        if lacking := sorted(set(scenes) - set(theirs)):
            raise InputError(f"{reference}: lacks {lacking[0]} of the test set")
    if missing := sorted(set(theirs) - set(ours)):
        raise InputError(
            f"{restored}: no image named {missing[0]} ({len(missing)} of {len(theirs)} in "
            f"{reference} have none of their name)"
        )
    pairs = [(ours[stem], theirs[stem]) for stem in sorted(theirs)]
    return pairs, len(set(ours) - set(theirs))


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    found: dict[str, Path] = {}
    for path in files:
        if path.stem in found:
            raise InputError(f"{path} and {found[path.stem]} differ in their ending only")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no PNG, JPEG or BMP image in this folder")
    return found


@dataclass(frozen=True)
class _Loaded:
    name: str
    restored: Pixels
    clean: Pixels


def _batches(pairs: Sequence[tuple[Path, Path]]) -> Iterator[list[_Loaded]]:
    """Runs of consecutive pairs of one size, read and checked."""
    batch: list[_Loaded] = []
    for ours, theirs in pairs:
        loaded = _Loaded(theirs.stem, read_image(ours), read_image(theirs))
        (height, width, _), (high, wide, _) = loaded.restored.shape, loaded.clean.shape
        if (height, width) != (high, wide):
            raise InputError(f"{ours}: {width}x{height} pixels beside {wide}x{high} of {theirs}")
        if batch and (len(batch) == BATCH or loaded.clean.shape != batch[0].clean.shape):
            yield batch
            batch = []
        batch.append(loaded)
    if batch:
        yield batch


def _evaluation_card(test_set: PreparedSet, run: Run, identity: dict[str, str]) -> dict[str, Any]:
    """What makes a summary one of the profile's evaluations."""
    records = read_records(test_set.folder)
    return {
        "profile": run.profile,
        "task": run.task,
        "task_label": TASKS[run.task].label,
        "method": run.method,
        "seed": 0,
        "run": run.folder.as_posix(),
        "run_identity": digest_json(identity),
        "dataset": dataset_card(test_set.folder),
        "leaked": [record.image for record in records if record.source in test_set.leaked],
        "sampler": "direct",
        "nfe": None,
        "grid": "uniform",
        "conversion": "exact",
        "weights": "ema",
        "precision": "float32",
        "sampling_seed": 0,
        "parameters": None,
        "multiply_accumulates": None,
        "settings": test_set.profile.evaluation.model_dump(mode="json"),
    }


def _write_run_card(run: Run, card: dict[str, Any]) -> None:
    """Write the card of the run that an evaluation's summary names."""
    own = ("profile", "task", "method", "seed", "outside", "identity", "parameters", "commit")
    write_json(
        run.folder / "run.json",
        {
            **{key: card[key] for key in (*own, "dirty")},
            "label": card["method_label"],
            "settings": {},
        },
    )
    write_json(run.folder / "cost.json", {})
