"""Degradations that turn a clean photograph into its degraded partner.

Images are float32 arrays of shape (H, W, 3), RGB, nominally in [0, 1]. Randomness comes from the
`generator` argument alone: the same image and an equally seeded generator give the same bits.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

Image = NDArray[np.float32]


def gaussian_noise(
    image: Image, generator: np.random.Generator, noise_level: float = 25 / 255
) -> Image:
    """Image with white Gaussian noise added, neither clipped nor quantised.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Clean image in [0, 1].
    generator : numpy.random.Generator
        Source of the noise.
    noise_level : float
        Standard deviation in the unit of `image`; 15/255, 25/255 and 50/255 are customary.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Noisy image; values leave [0, 1].

    References
    ----------
    .. [1] Luo et al., "Image Restoration with Mean-Reverting Stochastic Differential Equations",
       ICML 2023, denoising experiments.
    """
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    return image + np.float32(noise_level) * noise


def rain_streaks(image: Image, generator: np.random.Generator) -> Image:
    """Image behind heavy rain: several layers of bright streaks added, then clipped.

    A layer is a sparse field of drops, each of its own brightness, smeared along one direction.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Clean image in [0, 1].
    generator : numpy.random.Generator
        Source of the layers.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Rainy image in [0, 1].

    Notes
    -----
    Ranges: 2 to 5 layers; length of a streak 25 to 150 pixels, log-uniform, fading to both ends;
    full width at half maximum 1 to 2.5 pixels; direction normal about the vertical with standard
    deviation 5 degrees for the whole image and 9 degrees more for each layer; streaks in a layer
    cover 0.1 to 0.75 of the area, counted without overlap; mean added brightness log-normal with
    median 0.23 and logarithmic standard deviation 0.4, shared by the layers in Dirichlet(3)
    proportions. The ranges were fitted to the residuals of Rain100H's test set [1]_: degraded
    images of both have 12.1 dB on average, standard deviation 2.9 dB.

    References
    ----------
    .. [1] Yang et al., "Deep Joint Rain Detection and Removal from a Single Image", CVPR 2017.
    """
    from scipy.signal import fftconvolve  # slow to import

    height, width, _ = image.shape
    n_layers = generator.integers(2, 6)
    common_angle = generator.normal(0, 5)
    brightness = 0.23 * np.exp(generator.normal(0, 0.4))
    rain = np.zeros((height, width))
    for share in generator.dirichlet(np.full(n_layers, 3.0)):
        streak = _streak(
            length=25 * 6 ** generator.random(),
            angle=common_angle + generator.normal(0, 9),
            fwhm=generator.uniform(1, 2.5),
        )
        margin = len(streak) - 1
        shape = (height + margin, width + margin)
        coverage = generator.uniform(0.1, 0.75)
        falls = generator.random(shape) < coverage / streak.sum()
        drops = falls * generator.uniform(0.3, 1, shape)
        layer = np.maximum(fftconvolve(drops, streak, mode="valid"), 0)
        rain += share * brightness * layer / (0.65 * coverage)  # 0.65: a drop's mean
    return np.clip(image + rain[..., np.newaxis], 0, 1).astype(np.float32)


def _streak(length: float, angle: float, fwhm: float) -> NDArray[np.float64]:
    """Square image of one streak of peak 1, `angle` degrees from the vertical."""
    radius = int(length / 2 + fwhm) + 1
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    along, across = x * sine + y * cosine, x * cosine - y * sine
    taper = np.sqrt(np.maximum(1 - (2 * along / length) ** 2, 0))
    streak: NDArray[np.float64] = taper * np.exp(-4 * np.log(2) * (across / fwhm) ** 2)
    return streak


def motion_blur(image: Image, generator: np.random.Generator) -> Image:
    """Image averaged over a random smooth path of the camera.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Sharp image in [0, 1].
    generator : numpy.random.Generator
        Source of the path.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Blurred image in the range of `image`, registered to it: the path's mean shift is zero.

    Notes
    -----
    The path is a random walk whose direction drifts [1]_: 64 steps, the turn at each step normal
    with standard deviation 0.05 to 0.25 radian, total length 6 to 24 pixels, log-uniform. The
    blurred image is the mean of the shifted images, as GoPro's blurred frames are means of sharp
    ones [2]_; borders are mirrored. Photographs of 500x400 pixels come out at 24 to 29 dB.

    References
    ----------
    .. [1] Kupyn et al., "DeblurGAN", CVPR 2018, motion blur generation.
    .. [2] Nah et al., "Deep Multi-scale Convolutional Neural Network for Dynamic Scene
       Deblurring", CVPR 2017.
    """
    from scipy.signal import fftconvolve  # slow to import

    kernel = _shake_kernel(generator)
    radius = len(kernel) // 2
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    blurred = fftconvolve(padded, kernel[..., np.newaxis], mode="valid", axes=(0, 1))
    within: Image = np.clip(blurred, image.min(), image.max()).astype(np.float32)
    return within


def _shake_kernel(generator: np.random.Generator) -> NDArray[np.float64]:
    """Square kernel of sum 1: a random smooth path, each point shared by its four pixels."""
    n_steps = 64
    turns = generator.normal(0, generator.uniform(0.05, 0.25), n_steps)
    direction = generator.uniform(0, 2 * np.pi) + np.cumsum(turns)
    step = 6 * 4 ** generator.random() / n_steps
    path = step * np.cumsum(np.stack([np.sin(direction), np.cos(direction)]), axis=1)
    path -= path.mean(axis=1, keepdims=True)
    radius = int(np.abs(path).max()) + 1
    corner = np.floor(path).astype(int)
    fraction = path - corner
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - fraction[0]) * np.abs(1 - dx - fraction[1])
            np.add.at(kernel, (corner[0] + radius + dy, corner[1] + radius + dx), weight)
    return kernel / n_steps


def downsample_bicubic(image: Image, scale: int = 4) -> Image:
    """Image reduced like MATLAB's ``imresize(image, 1 / scale)`` with its antialiasing.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Image in [0, 1].
    scale : int
        Reduction factor, at least 1.

    Returns
    -------
    ndarray of float32, shape (ceil(H / scale), ceil(W / scale), 3)
        Reduced image, not clipped: it may leave [0, 1] beside sharp edges.

    Notes
    -----
    Cubic kernel with a = -0.5 [1]_ widened by `scale`, weights normalised for each output pixel,
    borders mirrored with the edge pixel repeated, height first, then width.

    References
    ----------
    .. [1] Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions
       on Acoustics, Speech, and Signal Processing, 1981.
    """
    rows = _reduction(image.shape[0], scale)
    columns = _reduction(image.shape[1], scale)
    reduced: Image = np.einsum("ih,hwc,jw->ijc", rows, image, columns, optimize=True).astype(
        np.float32
    )
    return reduced


def _reduction(length: int, scale: int) -> NDArray[np.float64]:
    """Matrix of shape (ceil(length / scale), length) that reduces one axis."""
    n_out = -(-length // scale)
    center = (np.arange(n_out) + 0.5) * scale - 0.5
    source = np.floor(center - 2 * scale)[:, np.newaxis] + np.arange(4 * scale + 2)
    distance = np.abs(source - center[:, np.newaxis]) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weight = np.where(distance <= 1, near, np.where(distance <= 2, far, 0))
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = np.pad(np.arange(length), (4 * scale, 4 * scale), mode="symmetric")
    matrix = np.zeros((n_out, length))
    row = np.arange(n_out)[:, np.newaxis]
    np.add.at(matrix, (row, mirrored[source.astype(int) + 4 * scale]), weight)
    return matrix


def enlarge(image: Image, scale: int, mode: Literal["bicubic", "nearest"] = "bicubic") -> Image:
    """Image enlarged by torch's interpolation, as the input of super-resolution is made.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Small image.
    scale : int
        Enlargement factor.
    mode : {"bicubic", "nearest"}
        Bicubic has a = -0.75 and aligned pixel areas (``align_corners=False``), as IR-SDE trains
        with; "nearest" is what the released super-resolution weights expect.

    Returns
    -------
    ndarray of float32, shape (scale * H, scale * W, 3)
        Enlarged image, not clipped.
    """
    import torch
    from torch.nn.functional import interpolate

    small = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    large: Image = interpolate(small, scale_factor=scale, mode=mode)[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(large)


def thin_mask(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Keep-mask with thin broken strokes as holes.

    Parameters
    ----------
    height, width : int
        Size in pixels.
    generator : numpy.random.Generator
        Source of the strokes.

    Returns
    -------
    ndarray of float32, shape (height, width)
        1 where the image is kept, 0 in the holes.

    Notes
    -----
    After the irregular masks of LaMa [1]_, which inpainting tests of diffusion models call thin:
    2 to 42 strokes of 1 to 5 straight pieces. At 256x256 a piece is 10 to 60 pixels long and 5 to
    15 wide; other sizes scale with the shorter side. Directions are 0 to 3 radians, integers with
    alternating sign. Holes cover 3 % to 47 % of the area, 28 % on average; those of the 100
    published thin masks cover 3 % to 50 %, 30 % on average.

    References
    ----------
    .. [1] Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions",
       WACV 2022.
    """
    unit = min(height, width) / 256
    y, x = np.mgrid[:height, :width].astype(np.float32)
    mask = np.ones((height, width), dtype=np.float32)
    for _ in range(generator.integers(2, 43)):
        start = generator.random(2) * (height, width)
        for piece in range(generator.integers(1, 6)):
            angle = (-1) ** piece * generator.integers(0, 4)
            length, thickness = unit * generator.uniform((10, 5), (60, 15))
            end = start + length * np.array([np.cos(angle), np.sin(angle)])
            end = np.clip(end, 0, (height, width))
            mask[_distance_to_segment(y, x, start, end) <= thickness / 2] = 0
            start = end
    return mask


def _distance_to_segment(
    y: Image, x: Image, start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of each pixel (y, x) to the straight piece from `start` to `end`."""
    dy, dx = end - start
    squared = max(dy**2 + dx**2, 1e-12)
    along = np.clip(((y - start[0]) * dy + (x - start[1]) * dx) / squared, 0, 1)
    distance: NDArray[np.float64] = np.hypot(y - start[0] - along * dy, x - start[1] - along * dx)
    return distance


def inpainting_holes(image: Image, mask: NDArray[np.float32]) -> Image:
    """Image with white holes, ``mask * image + (1 - mask)``.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Whole image in [0, 1].
    mask : ndarray of float32, shape (H, W)
        1 where the image is kept, 0 in the holes.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Image whose holes are 1.0, the convention of IR-SDE's code.
    """
    keep = mask[..., np.newaxis]
    return keep * image + (1 - keep)


def haze(image: Image, generator: np.random.Generator) -> Image:
    """Image through haze by the atmospheric scattering model ``J t + A (1 - t)``.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Clear image ``J`` in [0, 1].
    generator : numpy.random.Generator
        Source of depth, scattering and airlight.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Hazy image in [0, 1].

    Notes
    -----
    ``t = exp(-beta * depth)`` with beta uniform in [0.6, 1.8] and grey airlight A uniform in
    [0.7, 1.0], the ranges of RESIDE [1]_. RESIDE takes depth from measured scenes; here it is a
    vertical ramp, far at the top, plus a smooth random field, scaled to [0.1, 1], the span that
    fits the transmission seen in RESIDE's indoor test pairs.

    References
    ----------
    .. [1] Li et al., "Benchmarking Single Image Dehazing and Beyond", IEEE Transactions on Image
       Processing, 2019.
    """
    height, width, _ = image.shape
    beta = generator.uniform(0.6, 1.8)
    airlight = generator.uniform(0.7, 1.0)
    transmission = np.exp(-beta * _depth(height, width, generator))[..., np.newaxis]
    return (image * transmission + airlight * (1 - transmission)).astype(np.float32)


def _depth(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Smooth depth in [0.1, 1], shape (height, width), on average larger at the top."""
    coarse = generator.standard_normal((4, 4))
    bumps = zoom(coarse, (height / 4, width / 4), order=3, mode="reflect", grid_mode=True)
    ramp = np.linspace(generator.uniform(1, 4), 0, height)[:, np.newaxis]
    depth = bumps + ramp
    depth -= depth.min()
    scaled: NDArray[np.float64] = 0.1 + 0.9 * depth / depth.max()
    return scaled
