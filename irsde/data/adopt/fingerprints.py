"""Known images: `data/fingerprints/<name>.csv`, and the comparison of found files with them.

The tables hold no pictures: a hash of the decoded pixels, which only the same image has, and a
perceptual hash, which its resized and re-encoded copies nearly share.
"""

import csv
import io
import os
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from irsde.data.catalogue import FOLDERS, PARTS, Part
from irsde.files import DATA, InputError, digest, digest_file, write_text
from irsde.images import JPEG_START, Pixels, image_files, read_image
from irsde.terminal import track

FOLDER = DATA / "fingerprints"
DIGITS = 32
SIDE = 16

# Copies re-encoded, resized or cut by a pixel differed in at most 40 of the 256 bits, different
# photographs, faces and masks of the known sets in at least 62.
NEAR = 40

WORTH_A_BAR = 200  # files

Difference = Literal["JPEG copy", "resized or cut", "re-encoded or edited"]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


@dataclass(frozen=True)
class Fingerprint:
    """What is known of one image of a data set.

    Parameters
    ----------
    part : {"clean", "degraded", "mask"}
    image : str
        Name of the image, unique among those of its part.
    of : str
        Name of the clean image it belongs to; its own for a clean one.
    scene : str
        What it shows; one name for all data sets, so that the scenes of two can be compared.
    width, height : int
        Pixels.
    pixels : str
        First 32 hexadecimal digits of the SHA-256 of the decoded RGB pixels, row by row.
    file : str
        The same of a JPEG file's bytes, whose pixels depend on the decoder; else empty.
    look : str
        Perceptual hash: 256 bits in hexadecimal.
    """

    part: Part
    image: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    of: str
    scene: str
    width: int
    height: int
    pixels: Hash
    file: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
    look: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def __str__(self) -> str:
        return f"{FOLDERS[self.part]}/{self.image}"

    @property
    def size(self) -> str:
        """Width and height, such as 481x321."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Found:
    """An image file that was found and decoded.

    Parameters
    ----------
    path : Path
        Absolute.
    place : PurePosixPath
        Below the folder that was searched.
    width, height : int
        Pixels.
    pixels : str
        SHA-256 of the decoded RGB pixels.
    file : str
        SHA-256 of a JPEG file's bytes; else empty.
    look : str
        Perceptual hash.
    border : int
        Pixels of the file that are left out on each side; what else is said is of the others.
    """

    path: Path
    place: PurePosixPath
    width: int
    height: int
    pixels: str
    file: str
    look: str
    border: int = 0

    def without_border(self, border: int) -> "Found":
        """The image without so many pixels on each side."""
        pixels = cut_border(read_image(self.path), border)
        return replace(
            self,
            width=pixels.shape[1],
            height=pixels.shape[0],
            pixels=digest(pixels.tobytes()),
            file="",
            look=perceptual_hash(pixels),
            border=border,
        )

    @property
    def size(self) -> str:
        """Width and height, such as 481x321."""
        return f"{self.width}x{self.height}"

    @property
    def keys(self) -> set[str]:
        """What it agrees with a fingerprint by: pixels or, of a JPEG, bytes."""
        return {self.pixels[:DIGITS], self.file[:DIGITS]} - {""}


def cut_border(pixels: Pixels, border: int) -> Pixels:
    """Pixels without so many on each side."""
    return np.ascontiguousarray(pixels[border:-border, border:-border])


def perceptual_hash(pixels: Pixels) -> str:
    """Signs of the lowest 16x16 cosine coefficients of the luminance: 256 bits in hexadecimal."""
    from imagehash import phash
    from PIL import Image

    return str(phash(Image.fromarray(pixels), hash_size=SIDE))


def find_images(folder: Path) -> tuple[list[Found], dict[str, str]]:
    """Images of a folder and all below it, decoded by all cores.

    Parameters
    ----------
    folder : Path
        Links are followed, each folder is visited once; hidden files and `__MACOSX` are skipped.

    Returns
    -------
    images : list of Found
        Sorted by place.
    unreadable : dict of str to str
        Place of each file that cannot be used, with the reason.

    Raises
    ------
    InputError
        If there is no such folder, one below it cannot be listed, or an image's name is no text.
    """
    paths, _ = image_files(folder, deep=True)
    images: list[Found] = []
    unreadable = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen: Iterable[Found | InputError] = pool.map(lambda path: _examined(path, folder), paths)
        if len(paths) >= WORTH_A_BAR:
            seen = track(seen, f"reading {folder}", len(paths))
        for path, image in zip(paths, seen, strict=True):
            if isinstance(image, Found):
                images.append(image)
            else:
                place = path.relative_to(folder).as_posix()
                unreadable[place] = str(image).removeprefix(f"{path}: ")
    return images, unreadable


def _examined(path: Path, folder: Path) -> Found | InputError:
    try:
        pixels = read_image(path)
        with path.open("rb") as stream:
            is_jpeg = stream.read(3) == JPEG_START
        return Found(
            path=path.absolute(),
            place=PurePosixPath(path.relative_to(folder).as_posix()),
            width=pixels.shape[1],
            height=pixels.shape[0],
            pixels=digest(pixels.tobytes()),
            file=digest_file(path) if is_jpeg else "",
            look=perceptual_hash(pixels),
        )
    except InputError as error:
        return error


def known_sets() -> list[str]:
    """Names of the data sets whose fingerprints are known."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def read_fingerprints(name: str) -> list[Fingerprint]:
    """Fingerprints of a data set; empty where none are known.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = FOLDER / f"{name}.csv"
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = TypeAdapter(list[Fingerprint]).validate_python(list(csv.DictReader(stream)))
    except ValidationError as error:
        first = error.errors()[0]
        row, *place = first["loc"]
        where = f"line {int(row) + 2}: {'.'.join(map(str, place))}"
        raise InputError(f"{path}: {where}: {first['msg']}; restore the file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of fingerprints ({error}); restore it") from None
    repeated = [image for image, count in Counter(map(str, rows)).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: {repeated[0]} appears twice; restore the file")
    return rows


def write_fingerprints(name: str, fingerprints: Iterable[Fingerprint]) -> Path:
    """Write the table of a data set's fingerprints, sorted by part and name."""
    text = io.StringIO()
    columns = [field.name for field in fields(Fingerprint)]
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    ordered = sorted(fingerprints, key=lambda known: (PARTS.index(known.part), known.image))
    writer.writerows(asdict(fingerprint) for fingerprint in ordered)
    write_text(FOLDER / f"{name}.csv", text.getvalue())
    return FOLDER / f"{name}.csv"


def fingerprint_of(image_file: Found, part: Part, image: str, of: str, scene: str) -> Fingerprint:
    """Fingerprint of an image file as an image of a data set."""
    return Fingerprint(
        part, image, of, scene, image_file.width, image_file.height,
        image_file.pixels[:DIGITS], image_file.file[:DIGITS], image_file.look,
    )  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Found files compared with the fingerprints of one data set.

    Parameters
    ----------
    name : str
    known : sequence of Fingerprint
        All of the set.
    agree : dict of Fingerprint to Found
        Images found with the same pixels or, for a JPEG, the same bytes.
    differ : dict of Fingerprint to Found
        Images found with the same look only.
    spare : dict of Found to Found
        Further files with the same pixels, each with the one that is taken.
    """

    name: str
    known: Sequence[Fingerprint]
    agree: Mapping[Fingerprint, Found]
    differ: Mapping[Fingerprint, Found]
    spare: Mapping[Found, Found]

    @cached_property
    def files(self) -> dict[Fingerprint, Found]:
        """File of each image that was found, agreeing or not."""
        return {**self.agree, **self.differ}

    @cached_property
    def used(self) -> set[Found]:
        """All files that are images of the set."""
        return {*self.agree.values(), *self.differ.values(), *self.spare}

    @cached_property
    def missing(self) -> list[Fingerprint]:
        """Images that were not found."""
        return [known for known in self.known if known not in self.files]

    @property
    def coverage(self) -> float:
        """Part of the images that were found, 0 to 1."""
        return len(self.files) / len(self.known)


def difference(known: Fingerprint, image: Found) -> Difference:
    """How a file that shows a known image differs from it."""
    if known.size != image.size:
        return "resized or cut"
    if image.file and not known.file:
        return "JPEG copy"
    return "re-encoded or edited"


def compare(
    name: str,
    known: Sequence[Fingerprint],
    images: Sequence[Found],
    like: Container[Found] | None = None,
) -> Comparison:
    """Compare files with the fingerprints of one data set.

    Parameters
    ----------
    name : str
    known : sequence of Fingerprint
    images : sequence of Found
        Sorted by place; of several files for one image the first with its name counts, or else
        the first.
    like : container of Found, optional
        Files that may be compared by look where none has the pixels; all unless given.
    """
    by_key: dict[str, list[Found]] = defaultdict(list)
    for file in images:
        for key in file.keys:
            by_key[key].append(file)
    agree: dict[Fingerprint, Found] = {}
    same: dict[Found, Found] = {}
    taken: set[Found] = set()
    for image in known:
        files = by_key[image.pixels] or (by_key[image.file] if image.file else [])
        if files:
            # Some sets hold a picture twice: each time another file, if there are several.
            first = min(files, key=lambda file: (file.place.stem != image.image, file in taken))
            agree[image] = first
            taken.add(first)
            same |= dict.fromkeys(files, first)
    spare = {file: first for file, first in same.items() if file not in taken}
    rest = [file for file in images if file not in same and (like is None or file in like)]
    differ = _by_look([image for image in known if image not in agree], rest)
    return Comparison(name, known, agree, differ, spare)


def _by_look(known: Sequence[Fingerprint], images: Sequence[Found]) -> dict[Fingerprint, Found]:
    """Images with the file that looks most like each: those of its size first, no file twice."""
    looks = _looks(file.look for file in images)
    candidates = []
    for image in known:
        bits = _differing_bits(looks, image.look)
        for index in np.flatnonzero(bits <= NEAR).tolist():
            file = images[index]
            order = (
                file.size != image.size,
                int(bits[index]),
                file.place.stem != image.image,
                file.place,
            )
            candidates.append((order, file, image))
    chosen: dict[Fingerprint, Found] = {}
    used = set()
    for _, file, image in sorted(candidates, key=lambda candidate: candidate[0]):
        if file not in used and image not in chosen:
            chosen[image] = file
            used.add(file)
    return chosen


def _looks(hashes: Iterable[str]) -> NDArray[np.uint64]:
    content = b"".join(bytes.fromhex(text) for text in hashes)
    return np.frombuffer(content, dtype=np.uint64).reshape(-1, SIDE * SIDE // 64)


def _differing_bits(looks: NDArray[np.uint64], look: str) -> NDArray[np.int64]:
    bits: NDArray[np.int64] = np.bitwise_count(looks ^ _looks([look])).sum(axis=1, dtype=np.int64)
    return bits


def recognise(
    files: Sequence[Found], known: Mapping[str, Sequence[Fingerprint]]
) -> tuple[list[Comparison], list[Comparison]]:
    """Data sets that files are of.

    Parameters
    ----------
    files : sequence of Found
    known : dict of str to sequence of Fingerprint

    Returns
    -------
    sets : list of Comparison
        Sets of which all images agree, though they share them with another set; then those of
        which at least half was found, one with files of no set before it.
    strays : list of Comparison
        Sets of which less was found, but some with the same pixels.
    """
    nothing: tuple[Found, ...] = ()
    exact = [compare(name, images, files, nothing) for name, images in known.items() if images]
    sets = [comparison for comparison in exact if not comparison.missing]
    used = {file for comparison in sets for file in comparison.used}
    rest = {file for file in files if file not in used}
    if not rest:
        return sets, []
    partial = [
        compare(comparison.name, comparison.known, files, rest)
        for comparison in exact
        if comparison.missing
    ]
    for comparison in sorted(partial, key=lambda comparison: -comparison.coverage):
        if comparison.coverage >= 0.5 and comparison.used - used:
            sets.append(comparison)
            used |= comparison.used
    return sets, [one for one in partial if set(one.agree.values()) - used]


def known_scenes(
    images: Sequence[Found], known: Mapping[str, Sequence[Fingerprint]]
) -> dict[Found, str]:
    """Scenes of those images that have the pixels or the look of a known clean image."""
    clean = [image for rows in known.values() for image in rows if image.part == "clean"]
    by_key = {key: image.scene for image in clean for key in (image.pixels, image.file) if key}
    looks = _looks(image.look for image in clean)
    scenes = {}
    for image in images:
        if same := image.keys & by_key.keys():
            scenes[image] = by_key[min(same)]
        elif clean:
            bits = _differing_bits(looks, image.look)
            nearest = int(bits.argmin())
            if bits[nearest] <= NEAR:
                scenes[image] = clean[nearest].scene
    return scenes
