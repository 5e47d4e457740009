"""Published weights as runs: found on disk by SHA-256, read, and written like a trained run."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from irsde.experiment import provenance
from irsde.experiment.grid import Run
from irsde.experiment.profile import RunSettings
from irsde.experiment.published_weights import (
    FOLDER,
    PublishedWeights,
    read_weights_catalogue,
    weights_file,
    weights_of,
)
from irsde.experiment.replaced import replacing_run
from irsde.files import InputError, digest_file, replacing, temporary_folder
from irsde.images import files_below, printable
from irsde.machine.meters import peak_memory_bytes
from irsde.methods import MethodName
from irsde.networks.published import SYSTEMS
from irsde.restoration.matlab import is_matlab, read_simplenn
from irsde.restoration.weight_files import (
    OtherNetworkError,
    check_file,
    check_readable,
    check_tensor,
    finite_weights,
    first_few,
    load_checkpoint,
    state_dict_of,
)
from irsde.restoration.weights import WEIGHTS
from irsde.terminal import table

KINDS = (".pth", ".pt", ".ckpt", ".pkl", ".mat")  # endings of files that are looked into
MOST_FILES = 10_000
SIMILAR = 0.5  # share of a network's tensors that makes a file one of it, if a wrong one
SHORT = 12  # digits of a hash in a message


def name_of(file: Path) -> str | None:
    """Name of the record that a file is, by its SHA-256; None if it is none of them."""
    sizes = {record.size for record in read_weights_catalogue().values()}
    if not file.is_file() or file.stat().st_size not in sizes:
        return None
    sha256 = digest_file(file)
    found = (n for n, record in read_weights_catalogue().items() if record.sha256 == sha256)
    return next(found, None)


def import_published(run: Run, settings: RunSettings, file: Path | None, *, overwrite: bool) -> str:
    """Write the run of a published system from its file of weights.

    Parameters
    ----------
    run : Run
        Its method is the name of a record.
    settings : RunSettings
        As `profile.run_settings` gives them.
    file : Path, optional
        The published file; the one in `data/weights/` unless given.
    overwrite : bool
        True to import where another run is; that one is kept in `results/replaced/`.

    Returns
    -------
    str
        One line that says what was done.

    Raises
    ------
    InputError
        If the file is absent or not the published one, or something else is in the run's folder
        and `overwrite` is False; nothing is written then.
    """
    started = time.monotonic()
    record = weights_of(run.method)
    file = _published(run.method, record, file)
    identity = {"settings": settings.hash, "weights_file": record.sha256}
    if (run.folder / "run.json").is_file():
        card = provenance.read_run_card(run.folder)
        weights = run.folder / WEIGHTS
        if card.identity == identity:
            if weights.is_file() and digest_file(weights) == card.weights_sha256:
                return f"{run.folder}: up to date"
            if not weights.is_file() and _put_back(weights, card.weights_sha256, file, run.method):
                return f"{run.folder}: the weights that its card names are back"
        elif not overwrite:
            raise InputError(
                f"{run.folder}: holds another run; nothing was changed; give --overwrite to keep "
                "it in results/replaced and import"
            )
    state = read_state(file, run.method)
    with replacing_run(run.folder) as folder:
        with replacing(folder / WEIGHTS) as temporary:
            save_file(state, temporary)
        provenance.write_run_card(
            folder,
            run,
            settings,
            identity,
            "imported, not trained here",
            {"seconds": time.monotonic() - started, "peak_memory_bytes": peak_memory_bytes()},
            {
                "label": record.label,
                "parameters": sum(tensor.numel() for tensor in state.values()),
                "weights_sha256": digest_file(folder / WEIGHTS),
                "imported_from": {"file": record.address, "sha256": record.sha256},
            },
        )
    parameters = sum(tensor.numel() for tensor in state.values())
    return (
        f"{run.folder}: imported {record.label}, {parameters:,} parameters, trained on "
        f"{record.trained_on}; its input is {record.input}"
    )


def _put_back(weights: Path, sha256: str | None, file: Path, method: str) -> bool:
    """Write the weights of a run that has its card and evaluations; False if they differ."""
    state = read_state(file, method)
    with temporary_folder(weights) as folder:
        save_file(state, folder / WEIGHTS)
        if digest_file(folder / WEIGHTS) != sha256:
            return False
        (folder / WEIGHTS).replace(weights)
    return True


def _published(name: str, record: PublishedWeights, file: Path | None) -> Path:
    """The published file, after a look at its bytes."""
    found = file or weights_file(name)
    if not found.is_file():
        raise InputError(
            f"{found}: no such file; run irsde weights fetch {name}, or irsde weights adopt FOLDER "
            "with the folder that has it"
        )
    if (sha256 := digest_file(found)) != record.sha256:
        raise InputError(
            f"{found}: not the published file of {name}: SHA-256 {sha256[:SHORT]} instead of "
            f"{record.sha256[:SHORT]}; get it again from {record.address}"
        )
    return found


def read_state(file: Path, method: str) -> dict[str, Tensor]:
    """Weights in a file, under the names and in the shapes of a method's network.

    Raises
    ------
    InputError
        If the file holds code, is damaged, or differs from the network in a name or shape.
    """
    with torch.device("meta"):
        network = SYSTEMS[MethodName.parse(method).base]()
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if file.is_file() and is_matlab(file):
        state = read_simplenn(file, network)
    else:
        check_file(file)
        state, _ = state_dict_of(file, load_checkpoint(file))
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if differing := sorted(n for n in {*expected, *given} if expected.get(n) != given.get(n)):
        raise OtherNetworkError(
            f"{file}: no weights of {MethodName.parse(method).base}: {len(differing)} of its names "
            f"and shapes differ ({first_few(differing)})",
            sum(expected[name] == given.get(name) for name in expected) / len(expected),
        )
    for name, tensor in state.items():
        check_tensor(file, name, tensor)
    return {name: finite_weights(file, name, state[name]) for name in expected}


def adopt_weights(folder: Path, *, copy: bool = False) -> tuple[list[str], list[str]]:
    """Put published files below a folder into `data/weights/`, whatever their names.

    Parameters
    ----------
    folder : Path
        Searched through all its levels, links followed; or a single file.
    copy : bool
        Copy the files; else links to them are made.

    Returns
    -------
    list of str
        A line on each file that agrees, on other files of weights, and on what is missing.
    list of str
        What is wrong with files that differ from a published one or are refused.

    Raises
    ------
    InputError
        If the folder cannot be searched, or holds no file of weights.
    """
    catalogue = read_weights_catalogue()
    found: dict[str, Path] = {}
    others: list[Path] = []
    for file in _files(folder):
        name = name_of(file)
        if name is not None:
            found.setdefault(name, file)
        elif file.suffix.lower() in KINDS or (file.is_file() and _of_size(file)):
            others.append(file)
    if not found and not others:
        raise InputError(f"{folder}: no file of weights in it ({', '.join(KINDS)})")
    lines = [f"{name}: {found[name]} agrees, {_put(name, found[name], copy)}" for name in found]
    wrong: list[str] = []
    for file in others:
        reason, is_wrong = _judged(file, {*catalogue} - {*found})
        (wrong if is_wrong else lines).append(reason)
    here = {name for name in catalogue if weights_file(name).is_file()}
    if missing := [name for name in catalogue if name not in here]:
        lines.append(f"missing: {', '.join(missing)}")
    return [printable(line) for line in lines], [printable(line) for line in wrong]


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    for count, file in enumerate(files_below(folder), 1):
        if count > MOST_FILES:
            raise InputError(f"{folder}: more than {MOST_FILES:,} files; name a folder inside")
        yield file


def _of_size(file: Path) -> list[str]:
    """Records whose files are as large."""
    size = file.stat().st_size
    return [name for name, record in read_weights_catalogue().items() if record.size == size]


def _put(name: str, file: Path, copy: bool) -> str:
    target = weights_file(name)
    is_kept = target.is_file() and not (copy and target.is_symlink())
    if is_kept and digest_file(target) == weights_of(name).sha256:
        return f"{target} is up to date"
    FOLDER.mkdir(parents=True, exist_ok=True)
    if copy:
        with replacing(target) as temporary:
            shutil.copyfile(file, temporary)
    else:
        link = target.with_name(f".{target.name}.link")
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
        link.replace(target)
    return f"{'copied' if copy else 'linked'} to {target}"


def _judged(file: Path, absent: set[str]) -> tuple[str, bool]:
    """What a file is that is none of the published ones, and whether something is wrong with it."""
    catalogue = read_weights_catalogue()
    try:
        check_readable(file)
    except InputError as error:
        return str(error), True
    same_size = [name for name in _of_size(file) if name in absent] or _of_size(file)
    if same_size:
        record = catalogue[same_size[0]]
        return (
            f"{file}: differs from {' or '.join(same_size)}: as large, but SHA-256 "
            f"{digest_file(file)[:SHORT]} instead of {record.sha256[:SHORT]}; get it again from "
            f"{record.address}"
        ), True
    kind = "mat" if is_matlab(file) else "pth"
    if kind == "pth" and file.suffix.lower() == ".mat":
        return f"{file}: truncated, or no MATLAB 7.3 file", True
    nearest: tuple[float, str, str] = (-1.0, "", "")
    for name in (name for name, record in catalogue.items() if record.ending == kind):
        method = MethodName.parse(name).base
        try:
            read_state(file, method)
        except OtherNetworkError as error:
            nearest = max(nearest, (error.agreeing, method, str(error)))
        except InputError as error:
            return str(error), True
        else:
            return (
                f"{file}: has the names and shapes of {method} and is not a published file of it; "
                "not taken"
            ), True
    agreeing, method, reason = nearest
    if kind == "mat" or agreeing >= SIMILAR:
        return f"{reason}; nearest to {method}, not taken", True
    return (
        f"{file}: of none of these systems, not taken; weights of IR-SDE or Refusion are imported "
        "by irsde weights import FILE --task TASK"
    ), False


def overview() -> str:
    """A line for each record: what it is, and whether its file is here."""
    rows = [
        [name, record.task, f"{record.size / 1e6:.2f} MB", record.licence, _standing(name)]
        for name, record in read_weights_catalogue().items()
    ]
    header = ["name", "task", "size", "licence", f"in {FOLDER}/"]
    align = ["left", "left", "right", "left", "left"]
    return table(header, rows, align=align, spare=["licence", "size"])


def described(name: str) -> str:
    """Everything that the catalogue says of a file.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    record = weights_of(name)
    lines = [
        f"{record.label}, {record.task}: {_standing(name)}",
        f"address: {record.address}",
        f"SHA-256: {record.sha256}, {record.size:,} bytes",
        f"licence: {record.licence}",
        f"trained on: {record.trained_on}",
        f"input: {record.input}",
        f"rounding: {record.rounding}",
    ]
    for row in record.rows:
        values = " / ".join(map(str, row.values.values())) or "n/a"
        note = f" ({row.note})" if row.note else ""
        lines.append(f"{row.dataset}: {values}, protocol {row.protocol}, {row.source}{note}")
    return "\n".join(lines)


def _standing(name: str) -> str:
    file = weights_file(name)
    if not file.is_file():
        return "absent"
    return "agrees" if digest_file(file) == weights_of(name).sha256 else "differs"
