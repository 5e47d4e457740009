"""A finished run applied to photographs on disk, whole images one after the other."""

from pathlib import Path

from irsde import provenance
from irsde.data.catalogue import ENDINGS
from irsde.data.datasets import noise_level_of
from irsde.data.pairs import to_tensor
from irsde.devices import compute_device
from irsde.files import InputError, replacing
from irsde.images import read_image, to_float, to_pixels, write_image
from irsde.methods import METHODS
from irsde.progress import track
from irsde.resampling import enlarge
from irsde.seeds import torch_generator
from irsde.tasks import TASKS


def restore_photographs(
    source: Path, run: Path, out: Path, sampler: str | None, nfe: int | None, seed: int
) -> str:
    """Restore a photograph, or all those directly in a folder, and write PNG files.

    Parameters
    ----------
    source : Path
        8-bit PNG, JPEG or BMP file, or a folder of them. For super-resolution the small image.
    run : Path
        Folder of a finished run with a network.
    out : Path
        Folder to write to; a file already there is never overwritten.
    sampler : str, optional
        A key of `samplers.SAMPLERS`; the method's unless given.
    nfe : int, optional
        Network evaluations; the method's unless given.
    seed : int
        Seed of the sampling noise, together with each file's name.

    Returns
    -------
    str
        One line that says what was written.

    Raises
    ------
    InputError
        If the run or an image cannot be used, or an output exists already.
    """
    from irsde.restoration import WEIGHTS, load_restorer

    card, settings = provenance.read_network_run(run)
    method = METHODS[card["method"].partition("+")[0]]
    if not method.is_trained:
        raise InputError(f"{run}: {card['label']} has no network to restore with")
    files = _files(source)
    targets = [out / f"{file.stem}.png" for file in files]
    if existing := [target for target in targets if target.exists()]:
        raise InputError(f"{existing[0]}: exists already; choose another --out")
    if len(set(targets)) < len(targets):
        raise InputError(f"{source}: two images differ in their ending only")
    task = TASKS[card["task"]]
    with compute_device(1) as device:
        restorer = load_restorer(run, settings, device)
        provenance.check_weights(run / WEIGHTS, card)
        for file, target in track(
            zip(files, targets, strict=True), f"restoring with {run}", len(files)
        ):
            image = to_float(read_image(file))
            mu = to_tensor(
                [enlarge(image, task.scale, settings.data.enlarge) if task.scale > 1 else image]
            )
            restored = restorer.restore(
                mu.to(device),
                sampler or method.sampler,
                nfe or method.nfe,
                [torch_generator("restore", seed, file.name)],
                noise_level=noise_level_of(card["task"], settings.data),
            )
            with replacing(target) as temporary:
                write_image(temporary, to_pixels(restored[0].cpu().numpy().transpose(1, 2, 0)))
    return f"{out}: {len(files)} image{'s' if len(files) > 1 else ''} restored"


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        files = sorted(file for file in source.iterdir() if file.suffix.lower() in ENDINGS)
        if not files:
            raise InputError(f"{source}: no PNG, JPEG or BMP image in this folder")
        return files
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    return [source]
