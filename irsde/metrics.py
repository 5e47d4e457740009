"""Metrics of images: what they are called, PSNR and SSIM of a batch, MATLAB's luminance."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irsde.files import InputError

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]
Scores = dict[str, Values]

PEAK = 255
LUMINANCE = (65.481 / 255, 128.553 / 255, 24.966 / 255)
LUMINANCE_OFFSET = 16
STABILIZERS = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
# Sizes at which the products with banded matrices are quickest on a CPU: rows of a strip, and rows
# and columns that one product yields. A strip has at least as many rows as a window less one.
STRIP, BLOCK_ROWS, BLOCK_COLUMNS = 40, 8, 12


@dataclass(frozen=True)
class Metric:
    """A metric of a restored image.

    Parameters
    ----------
    label : str
        Name in tables and figures, with its unit.
    higher_is_better : bool
    decimals : int
        Digits after the point in tables.
    """

    label: str
    higher_is_better: bool
    decimals: int


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR (dB)", higher_is_better=True, decimals=2),
    "ssim": Metric("SSIM", higher_is_better=True, decimals=4),
    "psnr_y": Metric("PSNR-Y (dB)", higher_is_better=True, decimals=2),
    "ssim_y": Metric("SSIM-Y", higher_is_better=True, decimals=4),
    "lpips": Metric("LPIPS", higher_is_better=False, decimals=4),
}


@dataclass(frozen=True)
class Window:
    """Window in which SSIM takes means and covariances.

    Parameters
    ----------
    taps : tuple of float
        Weights along one axis, an odd number of them with sum 1.
    sample_covariance : bool
        Whether covariances are divided by n - 1, not by n.
    """

    taps: tuple[float, ...]
    sample_covariance: bool

    @property
    def size(self) -> int:
        """Pixels along one axis."""
        return len(self.taps)

    @property
    def covariance_factor(self) -> float:
        """What turns the biased covariance into the one that is meant."""
        count = self.size**2
        return count / (count - 1) if self.sample_covariance else 1.0


def _gaussian(radius: int, sigma: float) -> tuple[float, ...]:
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return tuple((taps / taps.sum()).tolist())


WINDOWS: dict[str, Window] = {
    "gaussian": Window(_gaussian(5, 1.5), sample_covariance=False),
    "uniform": Window((1 / 7,) * 7, sample_covariance=True),
}


def luminance(pixels: NDArray[Any]) -> Values:
    """MATLAB's Y of 8-bit RGB: ``(65.481 R + 128.553 G + 24.966 B) / 255 + 16``, not rounded."""
    weights: Values = np.array([65.481, 128.553, 24.966])
    weighted: Values = pixels.astype(np.float64) @ weights
    return weighted / 255 + LUMINANCE_OFFSET


def rounded_luminance(pixels: "Tensor") -> "Tensor":
    """MATLAB's Y of 8-bit RGB (..., 3) as (..., 1), rounded half up as `rgb2ycbcr` of uint8 does.

    Whole numbers are added, so that a tie is a tie.
    """
    import torch

    weights = torch.tensor([[65481.0], [128553.0], [24966.0]], device=pixels.device).double()
    thousandths = pixels.double() @ weights
    return thousandths.add_(127500).div_(255000).floor_().add_(LUMINANCE_OFFSET)


def psnr(restored: NDArray[Any], reference: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255, over all pixels and channels.

    Identical images give infinity.
    """
    from skimage.metrics import peak_signal_noise_ratio

    a, b = restored.astype(np.float64), reference.astype(np.float64)
    if np.array_equal(a, b):
        return float("inf")
    return float(peak_signal_noise_ratio(b, a, data_range=PEAK))


def fidelity(
    restored: "Tensor", reference: "Tensor", window: Window, borders: Iterable[int] = (0,)
) -> dict[int, Scores]:
    """PSNR and SSIM of a batch of images, for several border crops at once.

    Parameters
    ----------
    restored, reference : Tensor, shape (B, H, W, 3) or (B, H, W, 1)
        Images in the range 0 to 255, of any real dtype, on one device.
    window : Window
        Of SSIM, which is averaged over the pixels whose window lies inside the cropped image, and
        over channels.
    borders : iterable of int
        Pixels cut from each side.

    Returns
    -------
    dict of int to dict of str to ndarray, shape (B,)
        For each border `psnr` and `ssim`, over all channels; of RGB also `psnr_y` and `ssim_y`
        of MATLAB's luminance, not rounded. The PSNR (dB, for a peak of 255) of identical images is
        infinite; an image that is not finite scores NaN.

    Raises
    ------
    InputError
        If a cropped image is smaller than the window.

    Notes
    -----
    In float64 throughout, strip by strip, so that memory does not grow with the height. On a CPU
    images are taken one by one: a value does not depend on what else is in the batch.

    References
    ----------
    .. [1] Wang et al., "Image quality assessment: from error visibility to structural
       similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    import torch

    cuts = sorted(set(borders))
    height, width = reference.shape[1:3]
    if min(height, width) - 2 * cuts[-1] < window.size:
        raise InputError(
            f"SSIM needs at least {window.size}x{window.size} pixels, fewer are left of "
            f"{height}x{width} after a border of {cuts[-1]}"
        )
    size = 1 if reference.device.type == "cpu" else len(reference)
    with torch.inference_mode():
        filters = _Filter(window, reference[:size])
        parts = [
            _fidelity(restored[k : k + size], reference[k : k + size], filters, cuts)
            for k in range(0, len(reference), size)
        ]
    return {
        border: {name: np.concatenate([part[k][name] for part in parts]) for name in parts[0][k]}
        for k, border in enumerate(cuts)
    }


def _fidelity(x: "Tensor", y: "Tensor", filters: "_Filter", borders: list[int]) -> list[Scores]:
    """`fidelity` of as many images as are taken at once, for sorted borders.

    With s = x + y and d = x - y SSIM needs the means in the window of s, d, s² and d²; those of s
    and d of the luminance follow from those of RGB.
    """
    import torch

    batch, height, width, colors = x.shape
    x, y = x.permute(3, 1, 0, 2), y.permute(3, 1, 0, 2)
    halo, channels = filters.halo, filters.channels
    errors, similarities = [], []
    filters.restart()
    luma = torch.zeros_like(filters.means[:2])
    for top in range(0, height, STRIP):
        strip = filters.next_strip(min(STRIP, height - top))
        _fill(strip, x[:, top : top + STRIP], y[:, top : top + STRIP])
        for border in borders:
            rows = slice(max(0, border - top), max(0, height - border - top))
            errors.append(strip[3, :, rows, :, border : width - border].sum((1, 3)))
        luma.zero_()
        for channel in range(channels):
            if channel < colors:
                found = filters.means_of(channel, 4)
                means, squares = found[:2], found[2:]
                if channels > colors:
                    luma.add_(means, alpha=LUMINANCE[channel])
            else:
                means, squares = luma, filters.means_of(channel, 2)
                means[0].add_(2 * LUMINANCE_OFFSET)
            values = _similarity(means, squares, filters.window)
            for border in borders:
                rows = slice(max(0, border + halo - top), max(0, height - border - top))
                _cut(values, rows, slice(border, width - halo - border))
                similarities.append(values.sum((0, 1, 3)))
    error = torch.stack(errors).view(-1, len(borders), channels, batch).sum(0)
    similarity = torch.stack(similarities).view(-1, channels, len(borders), batch).sum(0)
    return [
        _scores(
            error[k] / ((height - 2 * border) * (width - 2 * border)),
            similarity[:, k] / ((height - halo - 2 * border) * (width - halo - 2 * border)),
        )
        for k, border in enumerate(borders)
    ]


def _scores(errors: "Tensor", similarities: "Tensor") -> Scores:
    """Scores from the mean squared errors and the mean SSIM, each (channel, image)."""
    error, similarity = errors.cpu().numpy(), similarities.cpu().numpy()
    colors = min(3, len(error))
    with np.errstate(divide="ignore"):
        scores = {
            "psnr": 10 * np.log10(PEAK**2 / error[:colors].mean(0)),
            "ssim": similarity[:colors].mean(0),
        }
        if colors == 3:
            scores |= {"psnr_y": 10 * np.log10(PEAK**2 / error[3]), "ssim_y": similarity[3]}
    return scores


def _fill(strip: "Tensor", x: "Tensor", y: "Tensor") -> None:
    """Write s, d, s² and d² of the pixels of a strip, for RGB of their luminance too."""
    import torch

    colors = len(x)
    s, d = strip[0, :colors], strip[1, :colors]
    s.copy_(x)
    d.copy_(y)
    s.add_(d)
    torch.sub(s, d, alpha=2, out=d)
    if colors == 3:
        luma = strip[:2, 3]
        torch.mul(strip[:2, 0], LUMINANCE[0], out=luma)
        luma.add_(strip[:2, 1], alpha=LUMINANCE[1]).add_(strip[:2, 2], alpha=LUMINANCE[2])
        luma[0].add_(2 * LUMINANCE_OFFSET)
    torch.square(strip[:2], out=strip[2:])


def _similarity(means: "Tensor", squares: "Tensor", window: Window) -> "Tensor":
    """SSIM from the means of s, d and those of s², d², both overwritten.

    ``(E[s]² - E[d]² + 2 C1) (Var s - Var d + 2 C2) / (the same with sums for differences)``
    """
    import torch

    c1, c2 = STABILIZERS
    variances = squares.sub_(means.square_())
    if window.sample_covariance:
        variances.mul_(window.covariance_factor)
    ms, md, vs, vd = means[0], means[1], variances[0], variances[1]
    ms.add_(2 * c1).sub_(md)
    vs.add_(2 * c2).sub_(vd)
    torch.add(ms, md, alpha=2, out=md)
    torch.add(vs, vd, alpha=2, out=vd)
    return ms.mul_(vs).div_(md.mul_(vd))


def _cut(values: "Tensor", rows: slice, columns: slice) -> None:
    """Zero a map of shape (block, row, image, column) outside the given rows and columns."""
    if rows.start > 0:
        values[:, : rows.start] = 0
    if rows.stop < STRIP:
        values[:, rows.stop :] = 0
    first, skipped = divmod(columns.start, BLOCK_COLUMNS)
    last, kept = divmod(columns.stop, BLOCK_COLUMNS)
    if columns.start > 0:
        values[:first] = 0
        values[first, ..., :skipped] = 0
    if last < len(values):
        values[last + 1 :] = 0
        values[last, ..., kept:] = 0


class _Filter:
    """Means in the window over strips of rows, as products with banded matrices.

    Block by block such products are far quicker than a filter that goes tap by tap. The axes of
    `planes` are kind (s, d, s², d²), channel, row, image, column. Above the rows of a strip lie
    the last rows of the strip before (zeros at first, whose means nobody reads), right of the
    image zeros up to a whole block.
    """

    def __init__(self, window: Window, images: "Tensor") -> None:
        import torch

        batch, _, width, colors = images.shape
        device = images.device

        def band(size: int) -> "Tensor":
            rows = [np.pad(window.taps, (k, size - 1 - k)) for k in range(size)]
            return torch.tensor(np.stack(rows), device=device)

        def zeros(*shape: int) -> "Tensor":
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.window = window
        self.halo = window.size - 1
        self.channels = 4 if colors == 3 else 1
        self.width = width
        height_of_block = BLOCK_ROWS + self.halo
        width_of_block = BLOCK_COLUMNS + self.halo
        blocks = -(-(width - self.halo) // BLOCK_COLUMNS)
        padded = blocks * BLOCK_COLUMNS + self.halo
        self.planes = zeros(4, self.channels, STRIP + self.halo, batch, padded)
        self.down = zeros(STRIP // BLOCK_ROWS, BLOCK_ROWS, batch * padded)
        self.means = zeros(4, blocks, STRIP, batch, BLOCK_COLUMNS)
        self.found = list(self.means.flatten(2, 3))
        rows = self.planes.flatten(3).unfold(2, height_of_block, BLOCK_ROWS)
        self.row_blocks = [list(channel) for channel in rows.transpose(0, 1).transpose(3, 4)]
        columns = self.down.view(-1, padded).unfold(1, width_of_block, BLOCK_COLUMNS)
        self.column_blocks = columns.transpose(0, 1)
        self.row_band = band(BLOCK_ROWS).expand(STRIP // BLOCK_ROWS, -1, -1)
        self.column_band = band(BLOCK_COLUMNS).T.contiguous().expand(blocks, -1, -1)

    def restart(self) -> None:
        """Forget the images before, whose rows would lie above the first strip of the next."""
        self.planes[:, :, STRIP:] = 0

    def next_strip(self, rows: int) -> "Tensor":
        """Planes to fill with the next rows: (kind, channel, rows, image, column)."""
        self.planes[:, :, : self.halo] = self.planes[:, :, STRIP:]
        return self.planes[:, :, self.halo : self.halo + rows, :, : self.width]

    def means_of(self, channel: int, kinds: int) -> "Tensor":
        """Means of the last `kinds` planes of a channel: (kind, block, row, image, column).

        The row that ends a window holds its mean. The next call overwrites what this returned.
        """
        import torch

        for kind in range(4 - kinds, 4):
            torch.bmm(self.row_band, self.row_blocks[channel][kind], out=self.down)
            torch.bmm(self.column_blocks, self.column_band, out=self.found[kind])
        return self.means[-kinds:]
