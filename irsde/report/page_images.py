"""Images and values of every image on the page, embedded as long as they fit into a budget."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

import numpy as np
from PIL import Image as PILImage
from PIL import features

from irsde.data.sets import Record, read_records
from irsde.experiment.grid import pairs_folder
from irsde.experiment.summary import Summary
from irsde.files import InputError, digest, json_number
from irsde.images import Pixels, read_image, to_pixels
from irsde.report.judging import Metric, metrics_of, rows_of
from irsde.report.results import Entry, Row, by_table, entries

WEBP_SIDE = 16383  # the largest that the format can hold

WEBP_EFFORT = 2  # of 6; more costs several times the seconds for a few percent of the bytes

FIGURE_QUALITY = 80  # of 100, of figures with photographs; the page links each to its exact file
FIGURE_SIZE = 0.75  # of these figures, which are shown smaller than they are

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
        """The ``src`` of an ``img`` element."""
        return self.link or f"data:{self.kind};base64,{self.content}"


@dataclass
class Album:
    """The images of a page in the order they were put in, each stored once.

    Parameters
    ----------
    folder : Path
        Folder of the page; links are relative to it.
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

    def figure(self, picture: Path, drawing: Path) -> Picture:
        """A figure in the smallest of its forms, embedded or linked; it gets no index.

        Parameters
        ----------
        picture : Path
            PNG file, which is embedded as WebP, smaller and with losses where that spares bytes.
        drawing : Path
            SVG file, if there is one.
        """
        if self.is_full:
            return Picture(TYPES[".png"], link=self.link(picture))
        image = PILImage.open(picture).convert("RGB")
        sides = [round(FIGURE_SIZE * side) for side in image.size]
        reduced = image.resize((sides[0], sides[1]), PILImage.Resampling.LANCZOS)
        forms = [
            _smaller(picture, np.array(image)),
            _encoded(np.array(reduced), FIGURE_QUALITY),
        ]
        if drawing.is_file():
            forms.append((drawing.read_bytes(), TYPES[drawing.suffix]))
        smallest = min(forms, key=lambda form: len(form[0]))
        return self._embed(*smallest) or Picture(TYPES[".png"], link=self.link(picture))

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


def _encoded(pixels: Pixels, quality: int | None = None) -> tuple[bytes, str]:
    """Pixels as WebP, lossless unless a quality is given; as PNG where that cannot be had."""
    stream = io.BytesIO()
    image = PILImage.fromarray(pixels)
    if features.check("webp") and max(image.size) <= WEBP_SIDE:
        if quality is None:
            image.save(stream, format="WEBP", lossless=True, method=WEBP_EFFORT, exact=True)
        else:
            image.save(stream, format="WEBP", quality=quality, method=WEBP_EFFORT)
        return stream.getvalue(), TYPES[".webp"]
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue(), TYPES[".png"]


FURTHER_DECIMALS = 2  # beyond those of the tables


@dataclass(frozen=True)
class Variant:
    """What can be chosen for one side of the comparison.

    Parameters
    ----------
    key : {"degraded", "truth", "restored"}
    label : str
    files : dict
        Image → its file, or its pixels where there is none in the form that is shown.
    method, row : int, optional
        Place of its values among those of the set; None for images that were not scored.
    """

    key: str
    label: str
    files: dict[str, Path | Pixels]
    method: int | None = None
    row: int | None = None


class ShownVariant(TypedDict):
    """A `Variant` with the indices of its pictures in the album, None for absent ones."""

    key: str
    label: str
    method: int | None
    row: int | None
    pictures: list[int | None]


class Viewer(TypedDict):
    """Images that can be compared: their indices, their widths and heights, their versions."""

    images: list[int]
    sizes: list[tuple[int, int]]
    variants: list[ShownVariant]


class MetricData(TypedDict):
    """A metric of the values."""

    name: str
    label: str
    decimals: int
    higher: bool


class SeedValues(TypedDict):
    """Values of one evaluation by the names of metrics, None where there is none."""

    label: str
    values: dict[str, list[float | str | None]]


class MethodValues(TypedDict):
    """Evaluations of a method, which differ in seeds."""

    label: str
    rows: list[SeedValues]


class SetValues(TypedDict):
    """Values of every image of a set as columns, and its scenes."""

    images: list[str]
    sceneNames: list[str]
    scenes: list[int]
    leaked: list[int]
    metrics: list[MetricData]
    methods: list[MethodValues]


class SetData(SetValues):
    """What the script reads of a set."""

    viewer: Viewer


@dataclass(frozen=True)
class ImageSet:
    """Evaluations of one task on one test set.

    Parameters
    ----------
    task, dataset : str
    entries : list of Entry
    data : dict
        What the script reads.
    note : str
        What must be said of the images, "" if nothing.
    """

    task: str
    dataset: str
    entries: list[Entry]
    data: SetData
    note: str

    @property
    def key(self) -> str:
        """`<task>-<dataset>`."""
        return f"{self.task}-{self.dataset}"

    @property
    def summary(self) -> Summary:
        """Summary of the first evaluation."""
        return self.entries[0].first.summary

    @property
    def runs(self) -> list[str]:
        """Folders of the runs, in the order of the entries."""
        rows = (row for entry in self.entries for row in entry.rows)
        return list(dict.fromkeys(str(row.summary.run) for row in rows))


def image_sets(rows: Sequence[Row], album: Album) -> list[ImageSet]:
    """Values and pictures of each task and test set.

    The pictures go into the album in turn, the first image of every set before the second of any,
    so that a full album leaves each set some.

    Raises
    ------
    InputError
        If an image or the table of a prepared test set is damaged.
    """
    sets = []
    pending = []
    for (task, dataset), of_table in by_table(rows).items():
        of_set = entries(of_table)
        data = _values(of_set)
        variants, names, note = _variants(of_set)
        number = {name: index for index, name in enumerate(data["images"])}
        viewer: Viewer = {
            "images": [number[name] for name in names],
            "sizes": [],
            "variants": [
                {"key": v.key, "label": v.label, "method": v.method, "row": v.row, "pictures": []}
                for v in variants
            ],
        }
        sets.append(ImageSet(task, dataset, of_set, {**data, "viewer": viewer}, note))
        pending.append([(viewer, variants, name) for name in names])
    for turn in zip_longest(*pending):
        for viewer, variants, name in filter(None, turn):
            viewer["sizes"].append(_size(variants, name))
            for variant, shown in zip(variants, viewer["variants"], strict=True):
                shown["pictures"].append(_picture(variant.files.get(name), album))
    return sets


def _values(of_set: Sequence[Entry]) -> SetValues:
    """Values of every image as columns, rounded to some decimals more than tables show."""
    first = of_set[0].first
    rows = rows_of(of_set)
    metrics = [m for m in metrics_of(rows) if any(m.name in row.per_image for row in rows)]
    images, scenes = of_set[0].images, of_set[0].scenes
    scene_names = list(dict.fromkeys(scenes))
    of_scene = {scene: index for index, scene in enumerate(scene_names)}
    leaked = set(first.summary.leaked)
    return {
        "images": images,
        "sceneNames": scene_names,
        "scenes": [of_scene[scene] for scene in scenes],
        "leaked": [index for index, image in enumerate(images) if image in leaked],
        "metrics": [
            {
                "name": metric.name,
                "label": metric.label,
                "decimals": metric.decimals,
                "higher": metric.higher_is_better,
            }
            for metric in metrics
        ],
        "methods": [
            {
                "label": label,
                "rows": [
                    {
                        "label": _seed_label(row, entry),
                        "values": {metric.name: _column(row, metric) for metric in metrics},
                    }
                    for row in entry.rows
                ],
            }
            for label, entry in zip(_labels(of_set), of_set, strict=True)
        ],
    }


def _labels(of_set: Sequence[Entry]) -> list[str]:
    """Names of methods; with sampler and NFE where two entries would have the same."""
    labels = [entry.first.label for entry in of_set]
    return [
        label if labels.count(label) == 1 else f"{label}, {entry.first.folder.name}"
        for label, entry in zip(labels, of_set, strict=True)
    ]


def _seed_label(row: Row, entry: Entry) -> str:
    label = f"seed {row.summary.seed}"
    sampled = len(entry.sampling_seeds) > 1
    return label + (f", sampling {row.summary.sampling_seed}" if sampled else "")


def _column(row: Row, metric: Metric) -> list[float | str | None]:
    if metric.name not in row.per_image:
        return [None] * len(row.per_image)
    values = row.per_image[metric.name].to_numpy(dtype=np.float64)
    rounded = np.round(values, metric.decimals + FURTHER_DECIMALS).tolist()
    return [json_number(value) for value in rounded]


def _variants(of_set: Sequence[Entry]) -> tuple[list[Variant], list[str], str]:
    """What can be compared, the names of the kept images, and a note on the ground truth."""
    summary = of_set[0].first.summary
    folder = pairs_folder(summary.profile, summary.task, summary.dataset.dataset)
    restored = [
        Variant(
            "degraded" if row.method == "identity" else "restored",
            label + (f", {_seed_label(row, entry)}" if len(entry.rows) > 1 else ""),
            {file.stem: file for file in sorted((row.folder / "images").glob("*.png"))},
            number,
            row_number,
        )
        for number, (label, entry) in enumerate(zip(_labels(of_set), of_set, strict=True))
        for row_number, row in enumerate(entry.rows)
    ]
    kept = {name for variant in restored for name in variant.files}
    names = [image for image in of_set[0].images if image in kept]
    records = _records(folder, names)
    before = [variant for variant in restored if variant.key == "degraded"]
    if not before:
        inputs = {name: _degraded(folder, record) for name, record in records.items()}
        files = {name: file for name, file in inputs.items() if file is not None}
        before = [Variant("degraded", "degraded input", files)]
    truth = {name: folder / record.gt for name, record in records.items()}
    note = "" if records or not names else f"The ground truth is n/a: {folder} is not here."
    after = [variant for variant in restored if variant.key == "restored"]
    return [*before, Variant("truth", "ground truth", dict(truth)), *after], names, note


def _records(folder: Path, names: Sequence[str]) -> dict[str, Record]:
    """Prepared pairs of the given names; none where the folder is not here."""
    if not (folder / "pairs.csv").is_file():
        return {}
    records = {record.image: record for record in read_records(folder)}
    chosen = {name: records[name] for name in names if name in records}
    for record in chosen.values():
        for file in (record.gt, record.lq):
            if not (folder / file).resolve().is_relative_to(folder.resolve()):
                raise InputError(
                    f"{folder / 'pairs.csv'}: {file} is outside of it; run irsde data prepare again"
                )
    return chosen


def _degraded(folder: Path, record: Record) -> Path | Pixels | None:
    """The degraded image as it is stored, which may be smaller than the clean one."""
    path = folder / record.lq
    if not record.lq or path.suffix != ".npy":
        return path if record.lq else None
    try:
        return to_pixels(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable array ({error})") from None


def _picture(file: Path | Pixels | None, album: Album) -> int | None:
    if file is None:
        return None
    return album.file(file) if isinstance(file, Path) else album.pixels(file)


def _size(variants: Sequence[Variant], name: str) -> tuple[int, int]:
    """Width and height that all variants of an image are shown at: those of the widest."""
    files = [variant.files[name] for variant in variants if name in variant.files]
    return max(_shape(file) for file in files)


def _shape(file: Path | Pixels) -> tuple[int, int]:
    return image_size(file) if isinstance(file, Path) else (file.shape[1], file.shape[0])


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file in pixels.

    Raises
    ------
    InputError
        If it is absent or not a readable image.
    """
    try:
        with PILImage.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image ({error})") from None
