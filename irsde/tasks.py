"""The six tasks of the paper, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from irsde.degradations import blur, haze, masks, noise, rain, resampling
from irsde.degradations.masks import Holes

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Degradation:
    """What a profile chooses of how images are degraded.

    Parameters
    ----------
    noise_level : float
        Standard deviation of the noise of denoising, in the unit of the images.
    clipped : bool
        True if noisy images are clipped to [0, 1]; the paper's are not.
    masks : tuple of ndarray of uint8, shape (H, W, 3)
        Mask images of inpainting; empty for generated strokes.
    holes : {"white", "black"}
        What marks a hole in them.
    """

    noise_level: float = 25 / 255
    clipped: bool = False
    masks: tuple[NDArray[np.uint8], ...] = ()
    holes: Holes = "white"


@dataclass(frozen=True)
class Task:
    """A restoration task.

    Parameters
    ----------
    label : str
        Name in tables and figures.
    degrade : callable (image, generator, degradation) -> image
        Clean image (H, W, 3) in [0, 1] to its degraded version; for super-resolution smaller by
        `scale`.
    description : callable (degradation) -> str
        What `degrade` does, for captions.
    fresh : bool
        True if every training patch is degraded when drawn, as the paper does for noise and masks;
        False if training pairs are made once and stored.
    exact : bool
        True if the degraded image is kept as floating point, False if it is rounded to 8 bits.
    scale : int
        Factor by which the degraded image is smaller than the clean one; it is enlarged to the
        clean size before anything else sees it.
    stationary_std : float
        lambda of the mean-reverting SDE, in the unit of the images, unless a profile says
        otherwise: the authors' values (docs/mathematics.md, 7), 50/255 for denoising, where the
        paper's is not known.
    is_noise : bool
        True if the degraded image is the clean one with noise of a known level and nothing else.
    has_holes : bool
        True if the degraded image is the clean one with white holes, which masks may give.
    channel : {"rgb", "y"}
        Whose PSNR and SSIM the literature of the task reports.
    classical : str, optional
        Its classical method, a key of `restoration.classical.CLASSICAL`; None if there is none.
    imports : tuple of str
        Modules that `degrade` imports when it runs. Pairs are prepared in threads, of which two
        that import one package at once may find half of it, so these are imported before.
    """

    label: str
    degrade: Callable[[Image, np.random.Generator, Degradation], Image]
    description: Callable[[Degradation], str]
    fresh: bool = False
    exact: bool = False
    scale: int = 1
    stationary_std: float = 10 / 255
    is_noise: bool = False
    has_holes: bool = False
    channel: Literal["rgb", "y"] = "rgb"
    classical: str | None = None
    imports: tuple[str, ...] = ()

    @property
    def own_settings(self) -> tuple[str, ...]:
        """Settings of data that only tasks with such a degradation have (`profile.TaskData`)."""
        of_noise = ("noise_level", "clipped") if self.is_noise else ()
        of_holes = ("masks",) if self.has_holes else ()
        of_scale = ("enlarge",) if self.scale > 1 else ()
        return of_noise + of_holes + of_scale


def _rain(image: Image, generator: np.random.Generator, _: Degradation) -> Image:
    return rain.rain_streaks(image, generator)


def _blur(image: Image, generator: np.random.Generator, _: Degradation) -> Image:
    return blur.blur(image, generator)


def _noise(image: Image, generator: np.random.Generator, chosen: Degradation) -> Image:
    return noise.gaussian_noise(image, generator, chosen.noise_level, clipped=chosen.clipped)


def _described_noise(chosen: Degradation) -> str:
    clipped = "clipped to [0, 1]" if chosen.clipped else "not clipped"
    level = chosen.noise_level * 255
    return f"Gaussian noise of standard deviation {level:g}/255, {clipped}"


def _holes(image: Image, generator: np.random.Generator, chosen: Degradation) -> Image:
    height, width = image.shape[:2]
    if chosen.masks:
        pixels = chosen.masks[generator.integers(len(chosen.masks))]
        mask = masks.read_mask(pixels, height, width, holes=chosen.holes)
    else:
        mask = masks.thin_mask(height, width, generator)
    return masks.inpainting_holes(image, mask)


def _described_holes(chosen: Degradation) -> str:
    if chosen.masks:
        return f"white holes by {len(chosen.masks)} given masks"
    return "thin white strokes over the image"


def _reduced(image: Image, _: np.random.Generator, __: Degradation) -> Image:
    return resampling.downsample_bicubic(image, scale=4)


def _haze(image: Image, generator: np.random.Generator, _: Degradation) -> Image:
    return haze.haze(image, generator)


TASKS: dict[str, Task] = {
    "deraining": Task(
        "Deraining",
        _rain,
        lambda _: "synthetic rain streaks",
        channel="y",
        classical="opening",
    ),
    "deblurring": Task(
        "Deblurring",
        _blur,
        lambda _: "synthetic blur by camera shake or by a moving object",
        classical="sharpening-blur",
        imports=("scipy.ndimage", "scipy.signal"),
    ),
    "denoising": Task(
        "Denoising",
        _noise,
        _described_noise,
        fresh=True,
        exact=True,
        stationary_std=50 / 255,
        is_noise=True,
        classical="non-local-means",
    ),
    "super-resolution": Task(
        "Super-resolution",
        _reduced,
        lambda _: "MATLAB-style bicubic reduction by 4",
        scale=4,
        stationary_std=30 / 255,
        classical="sharpening-enlarged",
    ),
    "inpainting": Task(
        "Inpainting",
        _holes,
        _described_holes,
        fresh=True,
        stationary_std=30 / 255,
        has_holes=True,
        classical="biharmonic",
    ),
    "dehazing": Task(
        "Dehazing",
        _haze,
        lambda _: "haze by atmospheric scattering over a synthetic depth map",
        classical="dark-channel",
        imports=("scipy.ndimage",),
    ),
}
