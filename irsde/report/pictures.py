"""Images of the page: embedded as long as they fit into a budget, then linked."""

import base64
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image as PILImage
from PIL import features

from irsde.files import digest
from irsde.images import Pixels, read_image

WEBP_SIDE = 16383  # the largest that the format can hold
WEBP_EFFORT = 2  # of 6; more costs several times the seconds for a few percent of the bytes
TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".webp": "image/webp"}


@dataclass(frozen=True)
class Picture:
    """One image: either embedded or linked.

    Parameters
    ----------
    kind : str
        Media type, such as ``"image/webp"``.
    content : str
        Base64, "" where it is linked.
    link : str
        Address relative to the page, "" where it is embedded.
    """

    kind: str
    content: str = ""
    link: str = ""

    @property
    def address(self) -> str:
        """What stands in the ``src`` of an ``img`` element."""
        return self.link or f"data:{self.kind};base64,{self.content}"


@dataclass
class Album:
    """The images of a page in the order they were put in, each stored once.

    Parameters
    ----------
    folder : Path
        Where the page will lie; links are relative to it.
    budget : int
        Characters of embedded images, all together. The first image that would exceed it is
        linked, and so are all after it.
    """

    folder: Path
    budget: int
    pictures: list[Picture] = field(default_factory=list)
    is_full: bool = False
    used: int = 0
    _known: dict[str, int] = field(default_factory=dict)

    def file(self, path: Path) -> int:
        """Index of an image file, embedded as lossless WebP or linked.

        Raises
        ------
        InputError
            If the file is absent or not a readable image.
        """
        key = str(path)
        if key not in self._known:
            picture = None if self.is_full else self._embed(*_smaller(path, read_image(path)))
            self._known[key] = self._add(picture or Picture(TYPES[".png"], link=self.link(path)))
        return self._known[key]

    def pixels(self, pixels: Pixels) -> int | None:
        """Index of an image that is no file, None where it does not fit any more."""
        key = digest(pixels.tobytes() + repr(pixels.shape).encode())
        if key not in self._known:
            picture = None if self.is_full else self._embed(*_encoded(pixels))
            if picture is None:
                return None
            self._known[key] = self._add(picture)
        return self._known[key]

    def figure(self, path: Path) -> Picture:
        """A figure's file as it is, embedded or linked; it gets no index."""
        content, kind = path.read_bytes(), TYPES[path.suffix]
        if not self.is_full and path.suffix == ".png":
            content, kind = _smaller(path, np.array(PILImage.open(path).convert("RGB")))
        picture = None if self.is_full else self._embed(content, kind)
        return picture or Picture(kind, link=self.link(path))

    def link(self, path: Path) -> str:
        """Address of a file relative to the page."""
        return quote(Path(os.path.relpath(path, self.folder)).as_posix())

    def _add(self, picture: Picture) -> int:
        self.pictures.append(picture)
        return len(self.pictures) - 1

    def _embed(self, content: bytes, kind: str) -> Picture | None:
        text = base64.b64encode(content).decode("ascii")
        if self.used + len(text) > self.budget:
            self.is_full = True
            return None
        self.used += len(text)
        return Picture(kind, text)


def _smaller(path: Path, pixels: Pixels) -> tuple[bytes, str]:
    """A PNG file as lossless WebP if that is smaller, with its media type."""
    content, kind = _encoded(pixels)
    stored = path.read_bytes()
    return (stored, TYPES[".png"]) if len(stored) <= len(content) else (content, kind)


def _encoded(pixels: Pixels) -> tuple[bytes, str]:
    """Pixels as lossless WebP, as PNG where that format is not at hand or too small."""
    stream = io.BytesIO()
    image = PILImage.fromarray(pixels)
    if features.check("webp") and max(image.size) <= WEBP_SIDE:
        image.save(stream, format="WEBP", lossless=True, method=WEBP_EFFORT, exact=True)
        return stream.getvalue(), TYPES[".webp"]
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue(), TYPES[".png"]
