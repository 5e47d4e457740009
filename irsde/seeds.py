"""Seeds derived from names, so that no result depends on order or on hidden global state."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_from(*names: str | int) -> int:
    """Seed that depends on the given names and on nothing else.

    Parameters
    ----------
    *names : str or int
        What the random numbers are for, outermost first, such as
        ``("run", "deraining", 0, "iteration", 17)``. ``1`` and ``"1"`` give the same seed.

    Returns
    -------
    int
        Seed in [0, 2**63), the first 63 bits of the SHA-256 of the names.

    Examples
    --------
    >>> seed_from("photographs", "coffee") == seed_from("photographs", "coffee")
    True
    >>> seed_from("ab", "c") == seed_from("a", "bc")
    False
    """
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*names: str | int) -> np.random.Generator:
    """NumPy generator seeded by `seed_from` of the names."""
    return np.random.Generator(np.random.PCG64(seed_from(*names)))


def torch_generator(*names: str | int, device: str = "cpu") -> "torch.Generator":
    """Torch generator on a device, seeded by `seed_from` of the names."""
    import torch

    return torch.Generator(device=device).manual_seed(seed_from(*names))
