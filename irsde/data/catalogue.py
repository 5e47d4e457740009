"""The catalogue of data sets: what each is, where it comes from, how its files are named.

`data/catalogue.yaml` describes families of data sets, such as Rain100H, with their splits, such as
`rain100h-test`. A split is what profiles and commands name. Data sets of one's own are described in
`data/<name>/dataset.yaml`.
"""

import re
from functools import cached_property, lru_cache
from pathlib import Path, PurePath
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from irsde.degradations.masks import Holes
from irsde.experiment.fields import DatasetName, Settings, TaskName, problem_of
from irsde.experiment.yaml_file import read_yaml
from irsde.files import DATA, InputError, nearest

CATALOGUE = DATA / "catalogue.yaml"
OWN = "dataset.yaml"

T = TypeVar("T")
Part = Literal["clean", "degraded", "mask"]
PARTS: tuple[Part, ...] = ("clean", "degraded", "mask")
FOLDERS: dict[Part, str] = {"clean": "GT", "degraded": "LQ", "mask": "mask"}


class Layout(Settings):
    """File names of a split in one of the arrangements in which it is handed around.

    A pattern describes the end of a path: `{image}`, `{version}` and `{scene}` stand for a piece
    of a name, `*` for anything within one name. Files of one `{image}` (and `{scene}`) belong
    together; several `{version}`s of one image share its clean version.
    """

    clean: str | None = None
    degraded: str | None = None
    mask: str | None = None

    def match(self, part: Part, path: PurePath) -> dict[str, str] | None:
        """Pieces of a path by name, or None if it does not fit the pattern of this part."""
        pattern = self._patterns.get(part)
        matched = pattern.search("/" + path.as_posix()) if pattern else None
        return matched.groupdict() if matched else None

    @property
    def text(self) -> str:
        """The patterns as one line."""
        patterns = {part: getattr(self, part) for part in PARTS}
        return ", ".join(f"{part} {text}" for part, text in patterns.items() if text)

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        return {part: _pattern(text) for part in PARTS if (text := getattr(self, part)) is not None}


def _pattern(text: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{[a-z]+\}|\*)", text)
    names = {"{image}", "{version}", "{scene}"}
    expression = ""
    for piece in pieces:
        if piece == "*":
            expression += "[^/]*"
        elif piece in names:
            expression += f"(?P<{piece[1:-1]}>[^/]+?)"
        else:
            expression += re.escape(piece)
    return re.compile(f"/{expression}$", re.IGNORECASE)


class Split(Settings):
    """A data set by its own name.

    Parameters
    ----------
    label : str
        Name in tables and captions.
    role : {"train", "validation", "test", "masks"}
        What its authors made it for.
    images : int
        Number of clean images; of masks for a set of masks.
    degraded : int
        Number of degraded images that come with it; 0 where they are synthesised.
    sizes : tuple of str
        Widths and heights that occur, such as 481x321; empty where they vary.
    layouts : tuple of Layout
        Known arrangements of the files, tried in order.
    holes : {"white", "black"}, optional
        What marks a hole in its masks; given where it has masks.
    photographs : dict of str to str
        Photographs inside scikit-image's wheel, each with its licence.
    border : int
        Pixels on each side by which an edition has larger clean images than degraded ones; they are
        cut off where that edition is adopted.
    shows : dict of str to str
        Other splits that show scenes of it, each with what is known of that; each couple of splits
        appears once.
    note : str
        What a user must know, such as scenes that occur twice.
    """

    label: str
    role: Literal["train", "validation", "test", "masks"]
    images: int = Field(ge=1)
    degraded: int = Field(0, ge=0)
    sizes: tuple[Annotated[str, Field(pattern=r"^\d+x\d+$")], ...] = ()
    layouts: tuple[Layout, ...] = (Layout(clean="{image}.*"),)
    holes: Holes | None = None
    photographs: dict[str, str] = Field({})
    border: int = Field(0, ge=0)
    shows: dict[DatasetName, str] = Field({})
    note: str = ""

    @model_validator(mode="after")
    def _says_what_marks_a_hole(self) -> "Split":
        has_masks = any(layout.mask for layout in self.layouts)
        if has_masks and self.holes is None:
            raise ValueError("has masks: say with holes whether white or black marks a hole")
        if self.holes and not has_masks:
            raise ValueError("holes is of sets with masks")
        return self


class Archive(Settings):
    """A file to download, from mirrors that are tried in order.

    A mirror is one address, or the addresses of the parts of one archive that was cut in pieces.
    An archive that only some splits need names them.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name to keep it under")
    mirrors: tuple[str | tuple[str, ...], ...] = Field(min_length=1)
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    splits: tuple[DatasetName, ...] = ()

    @property
    def addresses(self) -> list[tuple[str, ...]]:
        """For each mirror the addresses of the parts, one where the archive is whole."""
        return [(mirror,) if isinstance(mirror, str) else mirror for mirror in self.mirrors]

    @field_validator("mirrors")
    @classmethod
    def _equally_cut(
        cls, mirrors: tuple[str | tuple[str, ...], ...]
    ) -> tuple[str | tuple[str, ...], ...]:
        if len({1 if isinstance(mirror, str) else len(mirror) for mirror in mirrors}) > 1:
            raise ValueError("mirrors that cut the archive otherwise: make them two archives")
        return mirrors


class Family(Settings):
    """Data sets that were published together.

    Parameters
    ----------
    label : str
    tasks : tuple of str
        Tasks that its degraded images, if any, belong to, and that it is usually used for.
    licence : str
    citation : str
    page : str
        Where it is described or handed out, for a download by hand.
    archives : tuple of Archive
        What `irsde data fetch` downloads; empty where there is no direct address.
    by_hand : str
        What to do where the archives cannot be downloaded.
    editions : tuple of str
        Known editions that differ.
    splits : dict of str to Split
    """

    label: str
    tasks: tuple[TaskName, ...]
    licence: str
    citation: str = ""
    page: str = ""
    archives: tuple[Archive, ...] = ()
    by_hand: str = ""
    editions: tuple[str, ...] = ()
    splits: dict[DatasetName, Split] = Field(min_length=1)


class OwnSet(Settings):
    """A data set of one's own: `data/<name>/dataset.yaml` beside `GT/`, `LQ/` and `mask/`.

    Parameters
    ----------
    label : str
        Name in tables and captions.
    task : str, optional
        Task that the images in `LQ/` show; leave it out where there are clean images only.
    licence : str
    scene : str, optional
        Regular expression whose first group, found in an image's name, is its scene; each image is
        a scene of its own unless given.
    holes : {"white", "black"}, optional
        What marks a hole in the images of `mask/`; must be given where there are any.
    """

    label: str
    task: TaskName | None = None
    licence: str = "not stated"
    scene: str | None = None
    holes: Holes | None = None

    @field_validator("scene")
    @classmethod
    def _one_group(cls, scene: str | None) -> str | None:
        if scene is not None:
            try:
                groups = re.compile(scene).groups
            except re.error as error:
                raise ValueError(f"not a regular expression ({error})") from None
            if groups < 1:
                raise ValueError("needs a group in brackets")
        return scene


def read_catalogue() -> dict[str, Family]:
    """All families of data/catalogue.yaml.

    Raises
    ------
    InputError
        If the file is absent, an entry is wrong, or two splits have one name.
    """
    if not CATALOGUE.is_file():
        raise InputError(f"{CATALOGUE}: no such file; run irsde in the project's folder")
    return _read_catalogue(CATALOGUE.resolve(), CATALOGUE.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read_catalogue(_path: Path, _modified: int) -> dict[str, Family]:
    families = _validated(TypeAdapter(dict[str, Family]), CATALOGUE)
    names = [name for family in families.values() for name in family.splits]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{CATALOGUE}: the data set {min(repeated)} appears twice")
    splits = {name: split for family in families.values() for name, split in family.splits.items()}
    for name, split in splits.items():
        if unknown := split.shows.keys() - splits.keys():
            raise InputError(f"{CATALOGUE}: {name}: shows: no data set {min(unknown)!r}")
    return families


def read_own(name: str) -> OwnSet | None:
    """Description of a data set of one's own, or None where there is no such file.

    Raises
    ------
    InputError
        If the file is wrong.
    """
    path = DATA / name / OWN
    return _validated(TypeAdapter(OwnSet), path) if path.is_file() else None


def split_names() -> list[str]:
    """Names of all splits of the catalogue."""
    return [name for family in read_catalogue().values() for name in family.splits]


def find_split(name: str) -> tuple[Family, Split]:
    """A split of the catalogue and its family.

    Raises
    ------
    InputError
        If there is none of this name; the message says what there is.
    """
    for family in read_catalogue().values():
        if name in family.splits:
            return family, family.splits[name]
    raise InputError(
        f"no data set {name!r}, neither in {CATALOGUE} nor described in {DATA / name / OWN}"
        f"{nearest(name, split_names()) or ';'} irsde data list shows all"
    )


class Facts(NamedTuple):
    """What a data set is called, its terms, its paper and its page; "" where nothing is known."""

    label: str
    licence: str = ""
    citation: str = ""
    page: str = ""


def facts_of(name: str) -> Facts:
    """Facts of a set of one's own or of the catalogue; its name alone where neither has it."""
    try:
        if own := read_own(name):
            return Facts(own.label, own.licence)
        family, split = find_split(name)
    except InputError:
        return Facts(name)
    return Facts(split.label, family.licence, family.citation, family.page)


def common_scenes(first: str, second: str) -> str:
    """What the catalogue knows of scenes that two data sets share; empty if nothing."""
    splits = {
        n: split for family in read_catalogue().values() for n, split in family.splits.items()
    }
    for one, other in ((first, second), (second, first)):
        if one in splits and other in splits[one].shows:
            return splits[one].shows[other]
    return ""


def _validated(adapter: TypeAdapter[T], path: Path) -> T:
    _, content = read_yaml(path)
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        raise InputError(f"{path}: {problem_of(error)}") from None
