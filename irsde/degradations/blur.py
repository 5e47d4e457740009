"""Blur by a moving camera or a moving object."""

import numpy as np
from numpy.typing import NDArray

from irsde.degradations.noise import Image


def blur(image: Image, generator: np.random.Generator) -> Image:
    """Image blurred by motion: of the camera or of an object, each in half of the draws.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Sharp image in [0, 1].
    generator : numpy.random.Generator
        Source of the choice and of the motion.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Blurred image in the range of `image`, registered to it.

    See Also
    --------
    motion_blur, object_motion_blur
    """
    if generator.random() < 0.5:
        return motion_blur(image, generator)
    return object_motion_blur(image, generator)


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
    path = _shake_path(generator, shortest=6, longest=24)
    radius = int(np.abs(path).max()) + 1
    corner = np.floor(path).astype(int)
    fraction = path - corner
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - fraction[0]) * np.abs(1 - dx - fraction[1])
            np.add.at(kernel, (corner[0] + radius + dy, corner[1] + radius + dx), weight)
    normalized: NDArray[np.float64] = kernel / path.shape[1]
    return normalized


def _shake_path(
    generator: np.random.Generator, shortest: float, longest: float
) -> NDArray[np.float64]:
    """Random smooth path in pixels, shape (2, 64), of mean zero and log-uniform length."""
    n_steps = 64
    turns = generator.normal(0, generator.uniform(0.05, 0.25), n_steps)
    direction = generator.uniform(0, 2 * np.pi) + np.cumsum(turns)
    step = shortest * (longest / shortest) ** generator.random() / n_steps
    path = step * np.cumsum(np.stack([np.sin(direction), np.cos(direction)]), axis=1)
    centered: NDArray[np.float64] = path - path.mean(axis=1, keepdims=True)
    return centered


def object_motion_blur(image: Image, generator: np.random.Generator) -> Image:
    """Image in which an object moves along a path of its own while the shutter is open.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        Sharp image in [0, 1].
    generator : numpy.random.Generator
        Source of the object's outline and of the two paths.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        Blurred image in the range of `image`, registered to it: both mean shifts are zero.

    Notes
    -----
    The object is one random smooth region that covers a fifth to a half of the image. It and the
    background follow two paths like those of `motion_blur`: the object 10 to 36 pixels long, the
    background 4 to 16 or, in a quarter of the draws, at rest. The blurred image is the mean of
    16 frames, as GoPro's blurred frames are means of 7 to 13 sharp ones [1]_; in each, the moved
    object is drawn over the moved background. What the object hides is not known: it is the image
    mirrored in the outline.

    On the sharp frames of two pairs of GoPro's kind, 12 draws each: 23.6 and 27.4 dB (22.6 and
    28.3 for `motion_blur`); the pairs themselves have 25.1 and 24.1 dB.

    References
    ----------
    .. [1] Nah et al., "Deep Multi-scale Convolutional Neural Network for Dynamic Scene
       Deblurring", CVPR 2017.
    """
    mask = _object_mask(image.shape[0], image.shape[1], generator)
    path = _shake_path(generator, shortest=10, longest=36)
    background_path = _shake_path(generator, shortest=4, longest=16)
    if generator.random() < 0.25:
        background_path[:] = 0
    frames = slice(2, None, 4)
    return _mean_frame(image, mask, path[:, frames], background_path[:, frames])


def _mean_frame(
    image: Image,
    mask: NDArray[np.float32],
    path: NDArray[np.float64],
    background_path: NDArray[np.float64],
) -> Image:
    """Mean over the points of both paths, shape (2, N) each, of object over background."""
    paths = [points - points.mean(axis=1, keepdims=True) for points in (path, background_path)]
    radius = int(max(np.abs(points).max() for points in paths)) + 1
    border = ((radius, radius), (radius, radius), (0, 0))
    opacity = mask[..., np.newaxis]
    foreground = np.concatenate([opacity * image, opacity], axis=2)
    foreground = np.pad(foreground, border, mode="symmetric")
    background = np.pad(_mirrored_behind(image, mask > 0.5), border, mode="symmetric")
    total = np.zeros_like(image)
    for shift, background_shift in zip(paths[0].T, paths[1].T, strict=True):
        front = _moved(foreground, shift, radius)
        total += front[..., :3] + (1 - front[..., 3:]) * _moved(
            background, background_shift, radius
        )
    within: Image = np.clip(total / np.float32(path.shape[1]), image.min(), image.max())
    return within


def _moved(padded: Image, shift: NDArray[np.float64], radius: int) -> Image:
    """Image moved by `shift` (down, right) between pixels, without its border of `radius`."""
    corner = np.floor(shift).astype(int)
    fraction = (shift - corner).astype(np.float32)
    height, width = padded.shape[0] - 2 * radius, padded.shape[1] - 2 * radius
    moved = np.zeros((height, width, padded.shape[2]), np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - fraction[0]) * np.abs(1 - dx - fraction[1])
            if weight > 0:
                top, left = radius - corner[0] - dy, radius - corner[1] - dx
                moved += weight * padded[top : top + height, left : left + width]
    return moved


def _mirrored_behind(image: Image, region: NDArray[np.bool_]) -> Image:
    """Image whose pixels in `region` are those at the same distance beyond its outline."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(region, return_distances=False, return_indices=True)
    here = np.indices(region.shape)
    limit = np.array(region.shape)[:, np.newaxis, np.newaxis] - 1
    row, column = np.clip(2 * nearest - here, 0, limit)
    mirrored: Image = image[row, column]
    return mirrored


def _object_mask(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Opacity of one smooth region, shape (height, width), 1 inside; its edge is 2 pixels wide."""
    from scipy.ndimage import zoom

    center = generator.uniform(0.25, 0.75, (2, 1, 1))
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1) - center
    coarse = generator.standard_normal((5, 5))
    bumps = zoom(coarse, (height / 5, width / 5), order=3, mode="reflect", grid_mode=True)
    outside = np.hypot(y, x) + 0.08 * bumps
    distance = outside - np.quantile(outside, generator.uniform(0.2, 0.5))
    slope = np.hypot(*np.gradient(distance))
    mask: NDArray[np.float32] = np.clip(0.5 - distance / (2 * slope + 1e-6), 0, 1)
    return mask.astype(np.float32)
