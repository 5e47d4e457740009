"""What every test finds: torch with one thread, as the small networks here want it."""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    """Undo what a test, or the code that it calls, set in torch."""
    yield
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
        torch.set_deterministic_debug_mode("default")
