"""Where the reference arrays lie, and the marker of tests that need them."""

import os
from pathlib import Path

import pytest

REFERENCE = Path(
    os.environ.get("IRSDE_REFERENCE", Path(__file__).resolve().parents[2] / "shared" / "reference")
)
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="reference arrays absent: set IRSDE_REFERENCE to their folder"
)
