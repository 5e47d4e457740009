"""Where reference arrays and benchmark images lie, and the markers of tests that need them."""

import os
from pathlib import Path

import pytest

REFERENCE = Path(
    os.environ.get("IRSDE_REFERENCE", Path(__file__).resolve().parents[2] / "shared" / "reference")
)
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="reference arrays absent: set IRSDE_REFERENCE to their folder"
)

DATA = REFERENCE.parent / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="benchmark images absent: they lie in data/ beside IRSDE_REFERENCE"
)
