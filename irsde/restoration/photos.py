"""A finished run applied to photographs of any size on disk, tile by tile in bounded memory."""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from irsde import __version__
from irsde.degradations.masks import inpainting_holes, read_mask
from irsde.degradations.resampling import enlarge
from irsde.experiment import provenance
from irsde.experiment.cards import RunCard
from irsde.experiment.grid import refuse_without_effect, run_of
from irsde.experiment.options import Conversion, EvaluationOptions
from irsde.experiment.profile import RunSettings, load_profile, noise_level_of
from irsde.experiment.summary import Scores
from irsde.files import (
    InputError,
    check_name,
    digest_file,
    digest_json,
    is_present,
    read_json,
    temporary_folder,
    write_json,
)
from irsde.images import (
    MAX_PIXELS,
    Pixels,
    check_text,
    printable,
    read_image,
    to_float,
    to_pixels,
    to_tensor,
)
from irsde.machine.cores import available_cores
from irsde.machine.devices import compute_device, device_name
from irsde.machine.memory import keep_memory
from irsde.methods import method_of
from irsde.restoration.folders import first_names, list_images
from irsde.restoration.photo_files import Photo, bands, read_photo, write_photo, write_scale
from irsde.restoration.tiling import NoiseField, Tile, tiles
from irsde.tasks import TASKS
from irsde.terminal import track

if TYPE_CHECKING:
    import torch

    from irsde.restoration.restorer import Restorer

RECORD = "restored.json"
LIMITS = {"samples": 1000, "batch": 1024, "threads": 1024}
TIMED_SIDE = 256  # of the image by which the time is predicted, pixels
REACH = 3  # small pixels beyond a tile that its bicubic enlargement looks at, and one more
Image = NDArray[np.float32]
Enlargement = Literal["bicubic", "nearest"]
A = TypeVar("A")
B = TypeVar("B")


class Described(TypedDict):
    """All that restored pixels depend on but the photograph and the device."""

    run: str
    run_identity: str
    weights_sha256: str | None
    task: str
    method: str
    sampler: str
    nfe: int
    conversion: Conversion
    noise_level: float | None
    seed: int
    samples: int
    tile: int
    overlap: int
    batch: int


class Uncertainty(TypedDict):
    """What black and white of an uncertainty image are, and its mean, in the range of the image."""

    range: list[float]
    mean: float


@dataclass(frozen=True)
class RestoreOptions:
    """How photographs are restored.

    Parameters
    ----------
    sampler : str, optional
        A key of `samplers.SAMPLERS`.
    nfe : int, optional
        Network evaluations. Sampler and number are, unless given, those that the run was evaluated
        with (`usual_sampling`).
    seed : int
        Seed of the sampling noise, together with each file's name.
    samples : int
        Restorations of each photograph, with different noise.
    tile : int
        Side of a tile in pixels of the result; a photograph that fits is restored whole. 0 for
        no tiles: memory then grows with the photograph.
    overlap : int, optional
        Pixels that neighbouring tiles share, at least; an eighth of the tile unless given.
    batch : int
        Tiles, or photographs of one size that fit a tile, in one network call. With 1 a result
        depends on nothing else; more may change its last bits, because for some sizes a CPU's
        convolutions choose another algorithm (of 7 sizes tried, tiles of 64 to 512 among them,
        for 48x40 only).
    threads : int, optional
        Tiles that are restored at the same time on the CPU, each by one thread, so that their
        number does not change a result; all cores unless given. A GPU takes one after the other.
    mask : Path, optional
        For inpainting: an image of the photograph's size, white where to fill; or a folder with
        one of each photograph's name. Unless given, the white holes must be in the photographs.
    noise_level : float, optional
        Standard deviation of the noise in the photographs, in the unit of images in [0, 1], for
        methods that start from it; unless given, the level that the run was trained for.
    conversion : {"exact", "plain"}, optional
        How the clean image is read off a network trained by maximum likelihood; unless given as
        the run card says, exact for runs trained here.
    """

    sampler: str | None = None
    nfe: int | None = None
    seed: int = 0
    samples: int = 1
    tile: int = 512
    overlap: int | None = None
    batch: int = 1
    threads: int | None = None
    mask: Path | None = None
    noise_level: float | None = None
    conversion: str | None = None

    @property
    def shared(self) -> int:
        """Pixels that neighbouring tiles share, at least."""
        return self.tile // 8 if self.overlap is None else self.overlap


@dataclass(frozen=True)
class _Source:
    """A photograph to restore, and what is written of it."""

    file: Path
    mask: Path | None
    height: int
    width: int
    scale: int
    targets: tuple[Path, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.height * self.scale, self.width * self.scale


@dataclass(frozen=True)
class _Work:
    """One tile of one sample of one photograph."""

    source: _Source
    photo: Photo
    holes: NDArray[np.bool_] | None
    sample: int
    noise: NoiseField
    tile: Tile
    is_whole: bool


def restore_photographs(
    source: Path, run: Path, out: Path, options: RestoreOptions = RestoreOptions()
) -> str:
    """Restore a photograph, or all those directly in a folder, and write PNG files.

    Parameters
    ----------
    source : Path
        8-bit image file, or a folder of them. For super-resolution the small image.
    run : Path
        Folder of a finished run with a network.
    out : Path
        Folder to write to. A file already there is never overwritten; a folder of photographs
        that was interrupted goes on after the last one finished, if the settings are the same.
    options : RestoreOptions

    Returns
    -------
    str
        A line that says what was written and how it was sampled; one more where something in the
        folder was skipped.

    Raises
    ------
    InputError
        If the run, an image or an option cannot be used, an output exists already, or a restored
        image is not finite.

    Notes
    -----
    Of a photograph ``a.jpg`` one sample is written as ``a.png``; several as ``a-1.png`` …, their
    mean as ``a-mean.png`` and the standard deviation over the samples (of a pixel, the root mean
    square over its channels) as ``a-uncertainty.png``, whose range is in ``restored.json``. That
    file says for each photograph which run and settings produced its outputs. EXIF data and color
    profile go with the pixels (`photo_files`). A photograph whose channels are equal is restored
    to one: each pixel is the mean of the three channels that the network gives.

    The whole way from the noise to the image is gone for each tile on its own, and the restored
    tiles are blended (`tiling`); all tiles and the untiled restoration share one field of noise.
    """
    keep_memory()
    from irsde.restoration.restorer import load_restorer
    from irsde.restoration.weights import WEIGHTS

    card, settings = provenance.read_network_run(run)
    _check(run, card, options)
    task = TASKS[card.task]
    check_text(out)
    files, left_out = _files(source)
    with compute_device(1) as device:
        restorer = load_restorer(run, settings, device)
        provenance.check_weights(run / WEIGHTS, card)
        _check_tile(restorer, options)
        described, origin = _described(run, card, settings, restorer, options)
        everything = _sources(files, out, task.scale, options)
        record = _read_record(out)
        sources = [
            each for each in everything if not _is_done(record.get(each.file.name), each, described)
        ]
        _check_targets(source, sources or everything)
        began = time.monotonic()
        ranges: list[float] = []
        work = _work(sources, restorer, options)
        total = sum(len(_tiles_of(each, restorer, options)) for each in sources) * options.samples
        workers = 1 if device.type == "cuda" else options.threads or available_cores()
        if total:
            announcement = _announcement(sources, restorer, options, described, device, workers)
            print(announcement, file=sys.stderr, flush=True)  # noqa: T201 (before a long wait)
        restored = _restored(work, restorer, settings, described, options.batch, device, workers)
        stream = track(restored, f"restoring with {run}", total)
        for each, of_source in groupby(stream, key=lambda pair: pair[0].source):
            uncertainty = _write(each, of_source, options.samples)
            ranges += [uncertainty["range"][1]] if uncertainty else []
            record[each.file.name] = {
                "settings": described,
                **_identity(each),
                "size": [each.size[1], each.size[0]],
                "outputs": [target.name for target in each.targets],
                "device": device_name(device),
                "version": __version__,
                **({"uncertainty": uncertainty} if uncertainty else {}),
            }
            write_json(out / RECORD, record)
    seconds = time.monotonic() - began
    line = _line(out, sources, len(everything) - len(sources), ranges, seconds) + origin
    return f"{line}\n{left_out}" if left_out else line


def _announcement(
    sources: Sequence[_Source],
    restorer: "Restorer",
    options: RestoreOptions,
    described: Described,
    device: "torch.device",
    workers: int,
) -> str:
    """What is about to be done and, by the time of one network evaluation, how long it takes."""
    import torch

    from irsde.restoration.restorer import REGRESSION_STEP

    each = [_tiles_of(source, restorer, options) for source in sources]
    number = options.samples * sum(map(len, each))
    pixels = options.samples * sum(math.prod(tile.shape) for found in each for tile in found)
    side = min(max(max(tile.shape) for found in each for tile in found), TIMED_SIDE)
    image = torch.rand(1, 3, side, side, device=device).contiguous(
        memory_format=torch.channels_last
    )
    spent = 0.0
    with torch.inference_mode():
        for _ in range(2):  # the first one warms up
            begin = time.perf_counter()
            restorer.output(image, image, REGRESSION_STEP).sum().item()
            spent = time.perf_counter() - begin
    nfe = described["nfe"]
    seconds = spent / side**2 * pixels * nfe / min(workers, number)
    return (
        f"{_counted(len(sources), 'image')}: {_counted(number, 'tile')}, "
        f"{_counted(nfe, 'network evaluation')} of each, {workers} at a time; about "
        f"{seconds:.0f} s"
    )


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _line(
    out: Path, sources: Sequence[_Source], n_done: int, ranges: Sequence[float], seconds: float
) -> str:
    line = f"{out}: {_counted(len(sources), 'image')} restored"
    if n_done:
        line += f", {n_done} there already"
    line += f", {seconds:.0f} s"
    if not ranges:
        return line
    if len(ranges) > 1:
        return f"{line}; the ranges of the uncertainty images are in {out / RECORD}"
    return f"{line}; uncertainty image from 0 to {ranges[0]:g} of the range of the image"


def _check(run: Path, card: RunCard, options: RestoreOptions) -> None:
    """Refuse a run or options that cannot be used, before anything is read."""
    method = method_of(card.method)
    if not method.has_network:
        raise InputError(f"{run}: {card.label} has no network to restore with")
    for name, limit in LIMITS.items():
        value = getattr(options, name)
        if value is not None and not 1 <= value <= limit:
            raise InputError(f"--{name} {value}: give at least 1 and at most {limit}")
    if options.overlap is not None and not options.tile:
        raise InputError("--overlap: whole photographs have no tiles; omit it")
    if method.kind in ("regression", "published"):
        if options.sampler not in (None, "direct") or options.nfe not in (None, 1):
            raise InputError(f"{card.label} has no sampler: omit --sampler and --nfe")
        for name in ("samples", "seed", "conversion"):
            if getattr(options, name) != getattr(RestoreOptions, name):
                raise InputError(f"{card.label} draws no noise: omit --{name}")
    elif options.conversion is not None:
        sampler = options.sampler or method.sampler
        given = cast("Conversion", options.conversion)  # another is refused by the options
        refuse_without_effect(EvaluationOptions(sampler, method.nfe, conversion=given), card.method)
    if options.mask and not TASKS[card.task].has_holes:
        raise InputError(f"{run}: {card.task} takes no mask; omit --mask")


def _check_tile(restorer: "Restorer", options: RestoreOptions) -> None:
    multiple = _multiple(restorer)
    smallest = 4 * multiple
    if options.tile < 0 or 0 < options.tile < smallest:
        raise InputError(
            f"--tile {options.tile}: the network reduces images by {multiple}; give at least "
            f"{smallest}, or 0 for whole images"
        )
    if options.shared < 0 or (options.tile and options.shared > options.tile - multiple):
        raise InputError(
            f"--overlap {options.shared}: give 0 to {options.tile - multiple} for tiles of "
            f"{options.tile} pixels"
        )


def _multiple(restorer: "Restorer") -> int:
    """Factor by which the network reduces an image, on its way down or before."""
    return int(getattr(restorer.network, "multiple", 1))


def _sources(
    files: Sequence[Path], out: Path, scale: int, options: RestoreOptions
) -> list[_Source]:
    """What is to be restored; every image is read once, so that a bad one ends the run now."""
    sources = []
    masks = _masks_of(files, options.mask)
    for file in files:
        height, width = read_image(file).shape[:2]
        if height * width * scale**2 > MAX_PIXELS:
            raise InputError(
                f"{file}: the result would have more than {MAX_PIXELS // 1_000_000} million "
                "pixels; cut or reduce it"
            )
        mask = masks.get(file)
        if mask:
            _holes(mask, (height, width))
        names = [file.stem]
        if options.samples > 1:
            ends = (*range(1, options.samples + 1), "mean", "uncertainty")
            names = [f"{file.stem}-{end}" for end in ends]
        targets = tuple(out / f"{name}.png" for name in names)
        sources.append(_Source(file, mask, height, width, scale, targets))
    return sources


def _files(source: Path) -> tuple[tuple[Path, ...], str]:
    """Photographs to restore, and a line that names what of a folder is skipped."""
    if source.is_dir():
        listed = list_images(source)
        return listed.files, listed.left_out
    _check_file(source)
    return (source,), ""


def _check_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{printable(path)}: no such file or folder")
    if not path.is_file():
        raise InputError(f"{printable(path)}: not a regular file")
    check_text(path)


def _masks_of(files: Sequence[Path], mask: Path | None) -> dict[Path, Path]:
    """Mask of each photograph; none where none is given."""
    if mask is None:
        return {}
    if not mask.is_dir():
        _check_file(mask)
        return dict.fromkeys(files, mask)
    masks = list_images(mask).by_stem
    if missing := [file.name for file in files if file.stem not in masks]:
        raise InputError(
            f"{mask}: no mask of the name of {first_names(missing)}; each photograph needs one"
        )
    if unused := sorted(masks.keys() - {file.stem for file in files}):
        raise InputError(
            f"{mask}: no photograph of the name of {first_names(unused)}; take the mask away"
        )
    return {file: masks[file.stem] for file in files}


def _holes(mask: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels to fill, shape (H, W): those of a mask that are nearer to white than to black.

    Raises
    ------
    InputError
        If the mask is of another size than its photograph, or as `masks.read_mask`.
    """
    pixels = read_image(mask)
    if pixels.shape[:2] != size:
        raise InputError(
            f"{mask}: {pixels.shape[1]}x{pixels.shape[0]} pixels, but its photograph has "
            f"{size[1]}x{size[0]}"
        )
    holes: NDArray[np.bool_] = read_mask(pixels, *size, holes="white", place=mask) < 0.5
    return holes


def _check_targets(source: Path, sources: Sequence[_Source]) -> None:
    """Refuse outputs that exist or that two photographs would share."""
    targets = [target for each in sources for target in each.targets]
    if existing := [target for target in targets if target.exists()]:
        raise InputError(f"{existing[0]}: exists already; choose another --out")
    if twice := [target for target in targets if targets.count(target) > 1]:
        raise InputError(f"{source}: two images would be written as {twice[0].name}; rename one")


def _described(
    run: Path,
    card: RunCard,
    settings: RunSettings,
    restorer: "Restorer",
    options: RestoreOptions,
) -> tuple[Described, str]:
    """All that the restored pixels depend on but the photograph and the device; how it is sampled.

    The text says the latter with where a number that was not given comes from.
    """
    from irsde.restoration.restorer import usual_conversion
    from irsde.samplers import SAMPLERS

    method = method_of(card.method)
    noise_level, assumed = options.noise_level, ""
    if noise_level is not None and not restorer.needs_noise_level:
        raise InputError(f"{card.label} takes no noise level; omit --noise-level")
    if restorer.needs_noise_level and noise_level is None:
        if restorer.process is not None:
            noise_level = noise_level_of(card.task, settings.data)
        if noise_level is None:
            raise InputError(
                f"{run}: {card.label} needs the noise level of the photograph, which is not known: "
                "give --noise-level"
            )
        assumed = f", noise level {255 * noise_level:g}/255 as in training"
    first = restorer.first_step(noise_level)
    sampler, nfe, origin = options.sampler or method.sampler, options.nfe, ""
    if restorer.process is not None:
        check_name("sampler", sampler, SAMPLERS)
    if nfe is None:
        most = first if settings.process else method.nfe
        sampler, usual, origin = usual_sampling(run, card, options.sampler, most)
        nfe = min(usual, first)
    conversion: Conversion = "exact"
    if restorer.process is not None:
        given = cast("Conversion | None", options.conversion)
        conversion = given or usual_conversion(card, sampler)
    described: Described = {
        "run": run.as_posix(),
        "run_identity": digest_json(card.identity),
        "weights_sha256": card.weights_sha256,
        "task": card.task,
        "method": card.method,
        "sampler": sampler,
        "nfe": nfe,
        "conversion": conversion,
        "noise_level": noise_level,
        "seed": options.seed,
        "samples": options.samples,
        "tile": options.tile,
        "overlap": options.shared,
        "batch": options.batch,
    }
    if restorer.process is None:
        return described, ""
    reading = "" if conversion == "exact" else f", {conversion} conversion"
    return described, f"; {sampler}, {nfe} network evaluations{reading}{origin}{assumed}"


def usual_sampling(
    run: Path, card: RunCard, sampler: str | None, most: int
) -> tuple[str, int, str]:
    """Sampler and network evaluations that a run is evaluated with, and where they are from.

    Those of its evaluations, where they agree or one of them has the method's own sampler at the
    number that the settings ask for; else those of the profile that the card names; else the
    method's.

    Parameters
    ----------
    run : Path
        Folder of the run, in `results/` or among committed evidence.
    card : RunCard
    sampler : str or None
        A sampler that is given already.
    most : int
        The method's own number of network evaluations.

    Returns
    -------
    sampler : str
    nfe : int
        At most `most` unless evaluations had more.
    origin : str
        Words for a message.
    """
    own = sampler or method_of(card.method).sampler
    used: dict[tuple[str, int], int | None] = {}
    for path in sorted(run.glob("evaluations/*/*/summary.json")):
        one = Scores.read(path)
        if one.sampler and one.nfe is not None and sampler in (None, one.sampler):
            used[one.sampler, one.nfe] = one.settings.nfe if one.settings else None
    usual = [key for key, asked in used.items() if key == (own, min(asked or most, most))]
    if len(used) == 1 or usual:
        name, nfe = (usual or [*used])[0]
        return name, nfe, " as in its evaluations"
    try:
        profile = provenance.evaluation_profile(load_profile(card.home), run_of(run))
    except InputError:
        return own, most, " as the method has by default"
    asked = profile.evaluation.nfe
    return own, most if asked is None else min(asked, most), f" as in profile {profile.name}"


def _read_record(out: Path) -> dict[str, object]:
    if not is_present(out / RECORD):
        return {}
    record = read_json(out / RECORD)
    if not isinstance(record, dict) or not all(isinstance(one, dict) for one in record.values()):
        raise InputError(f"{out / RECORD}: not written by irsde restore; choose another --out")
    return record


def _identity(source: _Source) -> dict[str, str]:
    """Digests of the files that a result is made from."""
    files = {"photo_sha256": source.file, "mask_sha256": source.mask}
    return {name: digest_file(file) for name, file in files.items() if file}


def _is_done(entry: object, source: _Source, described: Described) -> bool:
    """True if a record says that this photograph was restored so, and its outputs are there."""
    if not isinstance(entry, dict) or entry.get("settings") != described:
        return False
    is_same = all(entry.get(name) == value for name, value in _identity(source).items())
    return is_same and all(target.is_file() for target in source.targets)


def _tiles_of(source: _Source, restorer: "Restorer", options: RestoreOptions) -> list[Tile]:
    side = options.tile or max(source.size)
    overlap = options.shared if options.tile else 0
    multiple = _multiple(restorer) if options.tile else 1
    return tiles(*source.size, side, overlap, multiple)


def _work(
    sources: Iterable[_Source], restorer: "Restorer", options: RestoreOptions
) -> Iterator[_Work]:
    """Tiles in the order in which they are restored."""
    for source in sources:
        photo = read_photo(source.file)
        holes = _holes(source.mask, (source.height, source.width)) if source.mask else None
        of_source = _tiles_of(source, restorer, options)
        for sample in range(1, options.samples + 1):
            noise = NoiseField("restore", options.seed, source.file.name, sample)
            for tile in of_source:
                yield _Work(source, photo, holes, sample, noise, tile, len(of_source) == 1)


def _batches(work: Iterable[_Work], size: int) -> Iterator[list[_Work]]:
    """Consecutive tiles of one shape; of several images only where each is a single tile."""

    def kind(each: _Work) -> tuple[object, ...]:
        image = () if each.is_whole else (id(each.source), each.sample)
        return each.tile.shape, image

    batch: list[_Work] = []
    for each in work:
        if batch and (len(batch) == size or kind(each) != kind(batch[0])):
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _restored(
    work: Iterable[_Work],
    restorer: "Restorer",
    settings: RunSettings,
    described: Described,
    batch_size: int,
    device: "torch.device",
    workers: int,
) -> Iterator[tuple[_Work, Image]]:
    """Tiles with their restored pixels, shape (height, width, 3), not clipped, in their order."""
    import torch

    def restore(batch: list[_Work]) -> NDArray[np.float32]:
        enlargement = "nearest" if restorer.enlarges else settings.data.enlarge
        mu = to_tensor([_degraded(each, enlargement) for each in batch])
        restored = restorer.restore(
            mu.to(device, memory_format=torch.channels_last),
            described["sampler"],
            described["nfe"],
            [each.noise.source(each.tile) for each in batch],
            noise_level=described["noise_level"],
            conversion=described["conversion"],
        )
        images: NDArray[np.float32] = restored.cpu().numpy()
        return images

    for batch, images in _in_order(restore, _batches(work, batch_size), workers):
        unused = "samples" if described["samples"] > 1 else "seed" if described["seed"] else ""
        if unused and not batch[0].noise.n_draws:
            raise InputError(
                f"{described['method']} with the sampler {described['sampler']} draws no noise: "
                f"omit --{unused}"
            )
        for each, image in zip(batch, images, strict=True):
            if not np.isfinite(image).all():
                raise InputError(
                    f"{each.source.file}: the restored image has values that are not finite, so "
                    "it is not written; try another sampler or more network evaluations"
                )
            yield each, image.transpose(1, 2, 0)


def _in_order(
    function: Callable[[A], B], items: Iterable[A], workers: int
) -> Iterator[tuple[A, B]]:
    """Items with the function's results, in order; so many are computed at the same time.

    Each worker is one thread of torch: sums are then in one order, whatever their number.
    """
    import torch

    waiting: deque[tuple[A, Future[B]]] = deque()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _degraded(work: _Work, enlargement: Enlargement) -> Image:
    """A tile of the degraded image at the size of the result."""
    rows, columns, pixels = work.tile.rows.pixels, work.tile.columns.pixels, work.photo.pixels
    if work.source.scale > 1:
        return _enlarged(pixels, rows, columns, work.source.scale, enlargement)
    image = to_float(pixels[rows, columns])
    if work.holes is None:
        return image
    return inpainting_holes(image, 1 - work.holes[rows, columns].astype(np.float32))


def _enlarged(pixels: Pixels, rows: slice, columns: slice, scale: int, mode: Enlargement) -> Image:
    """Part of the enlarged image, made from the small pixels that it depends on."""
    parts, cuts = [], []
    for span, length in ((rows, pixels.shape[0]), (columns, pixels.shape[1])):
        start = max(span.start // scale - REACH, 0)
        stop = min(-(-span.stop // scale) + REACH, length)
        parts.append(slice(start, stop))
        cuts.append(slice(span.start - start * scale, span.stop - start * scale))
    return enlarge(to_float(pixels[tuple(parts)]), scale, mode)[tuple(cuts)]


class _Moments:
    """Mean and spread of samples by running sums (Welford's), two images of memory."""

    def __init__(self, height: int, width: int) -> None:
        self.mean = np.zeros((height, width, 3), np.float32)
        self.squares = np.zeros((height, width), np.float32)
        self.count = 0

    def add(self, sample: Image) -> None:
        """Take in one sample, shape (H, W, 3)."""
        self.count += 1
        for rows in bands(len(sample)):
            before = sample[rows] - self.mean[rows]
            self.mean[rows] += before / self.count
            self.squares[rows] += (before * (sample[rows] - self.mean[rows])).mean(axis=2)

    def deviation(self) -> NDArray[np.float32]:
        """Root mean square over the channels of the standard deviation over the samples."""
        return np.sqrt(self.squares / (self.count - 1))


def _write(
    source: _Source, restored: Iterable[tuple[_Work, Image]], samples: int
) -> Uncertainty | None:
    """Blend the tiles of a photograph and write its outputs, all or none of them.

    Returns what is to be recorded of the uncertainty; None of a single sample.
    """
    moments = _Moments(*source.size) if samples > 1 else None
    with temporary_folder(source.targets[0]) as folder:
        written = [folder / target.name for target in source.targets]
        for sample, of_sample in groupby(restored, key=lambda pair: pair[0].sample):
            image = np.zeros((*source.size, 3), np.float32)
            for work, tile in of_sample:
                part = image[work.tile.rows.pixels, work.tile.columns.pixels]
                part += work.tile.weights[..., np.newaxis] * tile
            _keep_known(image, work)
            if work.photo.is_gray:
                _make_gray(image)
            write_photo(written[sample - 1], _quantized(image), work.photo)
            if moments:
                moments.add(image)
        recorded: Uncertainty | None = None
        if moments:
            write_photo(written[-2], _quantized(moments.mean), work.photo)
            deviation = moments.deviation()
            largest = float(f"{np.quantile(deviation, 0.999):.3g}")
            write_scale(written[-1], deviation, largest)
            recorded = {
                "range": [0, largest],
                "mean": float(f"{deviation.mean(dtype=np.float64):.4g}"),
            }
        for path, target in zip(written, source.targets, strict=True):
            if target.exists():
                raise InputError(f"{target}: was written meanwhile; choose another --out")
            path.replace(target)
    return recorded


def _make_gray(image: Image) -> None:
    """Put the mean of a pixel's channels into each of them."""
    for rows in bands(len(image)):
        image[rows] = image[rows].mean(axis=2, keepdims=True)


def _keep_known(image: Image, work: _Work) -> None:
    """Put the photograph's own pixels back where a mask says that they are good."""
    if work.holes is None:
        return
    for rows in bands(len(image)):
        known = ~work.holes[rows]
        image[rows][known] = to_float(work.photo.pixels[rows][known])


def _quantized(image: Image) -> Pixels:
    pixels = np.empty(image.shape, np.uint8)
    for rows in bands(len(image)):
        pixels[rows] = to_pixels(image[rows])
    return pixels
