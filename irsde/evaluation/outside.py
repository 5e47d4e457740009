"""Anyone's restored images: scored like ours, and put beside ours where they are of a test set."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from irsde.data.sets import prepared_card, read_records
from irsde.evaluation.restored_pairs import RestoredPair, pair_images
from irsde.experiment import provenance
from irsde.experiment.cards import RecordedSettings, RunCard
from irsde.experiment.code import code_hash
from irsde.experiment.grid import OUTSIDE, Evaluation, Run, pairs_folder
from irsde.experiment.options import EvaluationOptions
from irsde.experiment.profile import Profile
from irsde.experiment.result_tables import PER_IMAGE, PER_IMAGE_COLUMNS, PER_PROTOCOL
from irsde.experiment.summary import SUMMARY, Scores, Summary
from irsde.files import (
    InputError,
    check_name,
    digest,
    digest_json,
    is_present,
    replacing_folder,
    slug,
    write_json,
)
from irsde.images import Pixels, check_text, read_image, to_float, write_image
from irsde.machine.devices import compute_device
from irsde.methods import MethodName
from irsde.scoring.metrics import METRICS
from irsde.scoring.protocols import PROTOCOLS
from irsde.scoring.score import (
    Score,
    Table,
    exact_images,
    mean_text,
    protocol_means,
    reference_hash,
    score,
    score_card,
    table_of,
    write_table,
)
from irsde.tasks import TASKS
from irsde.terminal import track

BATCH = 8
UNKNOWN = EvaluationOptions("direct", 0)  # of results made elsewhere


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
    pattern: str | None = None,
) -> tuple[str, Path]:
    """Score a folder of restored images against a folder of clean ones, paired by file name.

    Parameters
    ----------
    restored : Path
        Folder of 8-bit image files, at least one for each clean image, of its size and named as
        `restored_pairs.pair_images` has it.
    reference : Path, optional
        Folder of clean images; those of the test set unless given.
    protocol : str
        A key of `protocols.PROTOCOLS`.
    name : str
        Of the method, for tables.
    out : Path, optional
        Folder to write `per_image.csv`, `protocols.csv` and `summary.json` to; optional
        where a test set is given.
    test_set : PreparedSet, optional
        Test set that the images are restored from: the result then is also stored where an
        evaluation of the profile does, and joins its tables.
    all_protocols : bool
        Add the means under every protocol to the text.
    pattern : str, optional
        How the restored images are named, such as ``{name}_x4_Net``.

    Returns
    -------
    str, Path
        What was scored, the means, and what was written or is up to date; the first folder.

    Raises
    ------
    InputError
        If an image is missing or of another size, a folder holds no images, or other results are
        where these would be written; they are never overwritten.
    """
    check_name("protocol", protocol, PROTOCOLS)
    _check_words(name, pattern)
    scenes: dict[str, str] = {}
    folders = [out] if out else []
    run = None
    if test_set is not None:
        _check_protocol(test_set, protocol)
        scenes = {record.image: record.scene for record in read_records(test_set.folder)}
        reference = reference or test_set.folder / "GT"
        method = str(MethodName(OUTSIDE, slug(name)))
        run = Run(test_set.profile.name, test_set.task, method, 0)
        folders.insert(0, Evaluation(run, test_set.dataset, UNKNOWN).folder)
    if reference is None or not folders:
        raise InputError(
            "irsde evaluate --restored: give --reference and --out, or --task and --dataset"
        )
    for path in (restored, reference, *folders):
        check_text(path)
    dataset = test_set.dataset if test_set else None
    pairing = pair_images(restored, reference, scenes, dataset, pattern)
    pairs = pairing.pairs
    identity = _identity(pairs)
    if run is not None:
        _check_run_card(run, name)
    there = _those_with(identity, folders, name, protocol)
    if len(there) == len(folders):
        return "\n".join(f"{folder}: up to date" for folder in folders), folders[0]
    scored = _scored(pairs, name, protocol)
    order = list(scenes) or list(scored)
    table = _per_image({image: scored[image] for image in order}, scenes)
    lines = [line for image in order for line in scored[image].score.by_protocol]
    protocols = table_of(lines, dict.fromkeys(name for line in lines for name in line))
    features = [scored[image].score.features for image in order]
    card = {
        "method_label": name,
        "outside": True,
        "restored": restored.as_posix(),
        "reference": reference.as_posix(),
        "pattern": pattern,
        "identity": identity,
        **score_card(protocol, table, features, dataset or name),
    }
    summary = _summary(card, len(order), test_set, run)
    kept: list[str] = []
    if test_set is not None and run is not None:
        keep = test_set.profile.evaluation.keep_images
        kept = order if keep == "all" else order[:keep]
        _write_run_card(run, summary)
    for folder in (folder for folder in folders if folder not in there):
        _write(folder, [pair for pair in pairs if pair.name in kept], table, protocols, summary)
    return "\n".join(
        [
            f"{name}: {len(order)} images under protocol {protocol}, {PROTOCOLS[protocol].label}",
            *_means(table, summary),
            *pairing.notes,
            *(["", protocol_means(protocols), ""] if all_protocols else []),
            *(f"{f}: {'up to date' if f in there else 'written'}" for f in folders),
        ]
    ), folders[0]


def _check_words(name: str, pattern: str | None) -> None:
    for option, given in (("--name", name), ("--pattern", pattern or "")):
        if not given.isprintable() or len(given) > 200:
            raise InputError(f"irsde evaluate {option}: give one line of plain text")
    if not slug(name):
        raise InputError(f"--name {name!r}: needs a letter or digit")


def _those_with(
    identity: dict[str, str], folders: Sequence[Path], name: str, protocol: str
) -> list[Path]:
    """Folders that hold these results already; other results there are an error."""
    there = [folder for folder in folders if folder.exists()]
    for folder in there:
        _check_same(folder, name, identity, protocol)
    return there


def _check_protocol(test_set: PreparedSet, protocol: str) -> None:
    usual = test_set.profile.evaluation.protocol
    if protocol != usual:
        raise InputError(
            f"--protocol {protocol}: the tables of {test_set.profile.name} use {usual}; omit "
            "--task and --dataset, or change the profile"
        )


def _per_image(scored: Mapping[str, "_Scored"], scenes: Mapping[str, str]) -> Table:
    """A row for each image; with its scene where it is of a test set."""
    columns = [
        name
        for name in PER_IMAGE_COLUMNS
        if name in ("image", "reference", *METRICS) or (scenes and name in ("scene", "nfe"))
    ]
    rows = (
        {
            "image": image,
            "scene": scenes.get(image),
            **one.score.values,
            "nfe": 0,
            "reference": one.reference,
        }
        for image, one in scored.items()
    )
    return table_of(rows, columns)


def _summary(
    card: Mapping[str, object], images: int, test_set: PreparedSet | None, run: Run | None
) -> Scores:
    """The scores with what made them; one of the profile's summaries where it is of a test set."""
    made_by = {
        "images": images,
        "versions": provenance.versions(),
        "code": code_hash("evaluate"),
        **provenance.commit(),
    }
    if test_set is None or run is None:
        return Scores.model_validate({**card, **made_by})
    return Summary.model_validate({**card, **made_by, **_evaluation_card(test_set, run)})


def _write(
    folder: Path,
    kept: Sequence[RestoredPair],
    table: Table,
    protocols: Table,
    summary: Scores,
) -> None:
    """Write a folder like that of an evaluation of ours."""
    with replacing_folder(folder) as temporary:
        (temporary / "images").mkdir()
        for pair in kept:
            write_image(temporary / "images" / f"{pair.name}.png", read_image(pair.restored))
        write_table(temporary / PER_IMAGE, table)
        write_table(temporary / PER_PROTOCOL, protocols)
        summary.write(temporary / SUMMARY)
        write_json(temporary / "cost.json", {})


def _means(table: Table, summary: Scores) -> Iterator[str]:
    """A line for each metric, and one on images that are restored exactly."""
    for name, metric in METRICS.items():
        yield f"{metric.label}: {_mean(table, name, summary.missing(name))}"
    if exact := exact_images(table):
        yield f"restored exactly: {exact}"


def _identity(pairs: Sequence[RestoredPair]) -> dict[str, str]:
    """What was scored, and against what."""
    return {
        "restored": _digest({pair.name: pair.restored for pair in pairs}),
        "reference": _digest({pair.name: pair.clean for pair in pairs}),
    }


def _digest(files: Mapping[str, Path]) -> str:
    """SHA-256 over the names and the decoded pixels of images."""
    return digest_json({name: digest(read_image(path).tobytes()) for name, path in files.items()})


@dataclass(frozen=True)
class _Scored:
    """Scores of an image, and the hash of the clean one."""

    score: Score
    reference: str


def _check_same(folder: Path, name: str, identity: dict[str, str], protocol: str) -> None:
    """Refuse a folder that holds anything but the same images, scored in the same way."""
    present = None
    with suppress(InputError):
        there = Scores.read(folder / SUMMARY)
        present = (there.method_label, there.identity, there.protocol.name)
    if present != (name, identity, protocol):
        raise InputError(
            f"{folder}: exists already with other results, which are kept; choose "
            "another --out or --name"
        )


def _run_identity(run: Run) -> dict[str, str]:
    """What makes results one run: their place, for all test sets and images alike."""
    return {"outside": f"{run.profile}/{run.task}/{run.method}"}


def _check_run_card(run: Run, name: str) -> None:
    """Refuse a name that another method has, or a run whose card held for one test set only."""
    if not is_present(run.folder / "run.json"):
        return
    card = provenance.read_run_card(run.folder)
    if card.label != name:
        raise InputError(
            f"--name {name!r}: {run.folder} holds results of {card.label!r}; write the name as "
            "there, or choose another"
        )
    if card.identity != _run_identity(run):
        raise InputError(
            f"{run.folder}: was scored by an earlier version, whose card holds for one test set "
            "only; move it away and score its images again"
        )


def _scored(pairs: Sequence[RestoredPair], name: str, protocol: str) -> dict[str, _Scored]:
    """Scores of every image by its name."""
    scored: dict[str, _Scored] = {}
    with compute_device(1) as device:
        for batch in track(_batches(pairs), f"scoring {name}", len(pairs), size=len):
            names = [loaded.name for loaded in batch]
            images = to_float(np.stack([loaded.restored for loaded in batch]))
            clean = np.stack([loaded.clean for loaded in batch])
            scores = score(names, images, clean, protocol, str(device))
            for loaded, of_image in zip(batch, scores, strict=True):
                scored[loaded.name] = _Scored(of_image, reference_hash(loaded.clean))
    return scored


def _mean(table: Table, metric: str, reason: str) -> str:
    text = mean_text(table, metric)
    return f"n/a, {reason}" if text == "n/a" and reason else text


@dataclass(frozen=True)
class _Loaded:
    name: str
    restored: Pixels
    clean: Pixels


def _batches(pairs: Sequence[RestoredPair]) -> Iterator[list[_Loaded]]:
    """Runs of consecutive pairs of one size, read and checked."""
    batch: list[_Loaded] = []
    for pair in pairs:
        loaded = _Loaded(pair.name, read_image(pair.restored), read_image(pair.clean))
        (height, width, _), (high, wide, _) = loaded.restored.shape, loaded.clean.shape
        if (height, width) != (high, wide):
            raise InputError(
                f"{pair.restored}: {width}x{height} pixels beside {wide}x{high} of {pair.clean}"
            )
        if batch and (len(batch) == BATCH or loaded.clean.shape != batch[0].clean.shape):
            yield batch
            batch = []
        batch.append(loaded)
    if batch:
        yield batch


def _evaluation_card(test_set: PreparedSet, run: Run) -> dict[str, object]:
    """What makes a summary one of the profile's evaluations."""
    records = read_records(test_set.folder)
    return {
        "profile": run.profile,
        "task": run.task,
        "task_label": TASKS[run.task].label,
        "method": run.method,
        "seed": 0,
        "run": run.folder.as_posix(),
        "run_identity": digest_json(_run_identity(run)),
        "dataset": prepared_card(test_set.folder),
        "leaked": [record.image for record in records if record.source in test_set.leaked],
        **asdict(UNKNOWN),
        "nfe": None,
        "parameters": None,
        "multiply_accumulates": None,
        "settings": test_set.profile.evaluation.model_dump(mode="json"),
    }


def _write_run_card(run: Run, summary: Scores) -> None:
    """Write the card of the run that the summaries of all its evaluations name, once."""
    if is_present(run.folder / "run.json"):
        return
    card = RunCard(
        profile=run.profile,
        task=run.task,
        method=run.method,
        seed=run.seed,
        outside=True,
        parameters=None,
        commit=summary.commit,
        dirty=summary.dirty,
        identity=_run_identity(run),
        label=summary.method_label or "",
        settings=RecordedSettings(),
    )
    card.write(run.folder / "run.json")
    write_json(run.folder / "cost.json", {})
