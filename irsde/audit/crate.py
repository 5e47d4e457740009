"""A profile's results as a Workflow Run RO-Crate: a folder that archives and other tools read.

RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5
(https://www.researchobject.org/workflow-run-crate/). The workflow is the Snakefile; every training,
evaluation and report is an action with its files, its times and what it used.
"""

import io
import mimetypes
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from irsde import __version__
from irsde.audit.selection import Selection, select
from irsde.data.catalogue import facts_of
from irsde.experiment.cards import Cost, PreparedCard
from irsde.experiment.grid import Run
from irsde.experiment.profile import PROFILE_FOLDER, Profile
from irsde.experiment.provenance import read_run_card
from irsde.experiment.recorded import PROVENANCE, read_lineage
from irsde.experiment.summary import read_summary
from irsde.files import REPORTS, InputError, digest_file, is_present, replacing_folder, slug

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

METADATA = "ro-crate-metadata.json"
VERSION = "1.1"  # that the run profiles are based on
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
TERMS = {
    "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    "sha256": "https://schema.org/sha256",
}
WORKFLOW = Path("workflow/Snakefile")
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
MIT = "https://spdx.org/licenses/MIT"
STEPS = {
    "train": "trains a network, or tunes a classical method",
    "evaluate": "restores the test images and scores them",
    "report": "compiles tables, figures and the page",
}
USED = {  # fields of cost.json: what they measure, and its unit in the vocabulary QUDT
    "seconds": ("time of the work", "SEC"),
    "peak_memory_bytes": ("largest memory of the process", "BYTE"),
    "peak_gpu_memory_bytes": ("largest memory of the GPU", "BYTE"),
    "joules": ("energy of the GPU", "J"),
}
REPORT_FILES = ("tables.md", "tables.csv", "tables.tex", "cost.md", "metrics.json", PROVENANCE.name)
MEDIA = {
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
    ".yaml": "application/yaml",
    ".smk": "text/x-python",
    ".safetensors": "application/octet-stream",
}
AUTHOR = re.compile(r"(?P<name>[^<>]+?)\s*(?:<(?P<orcid>https://orcid\.org/[\dX-]{19})>)?")


@dataclass(frozen=True)
class Author:
    """A person that the crate names.

    Parameters
    ----------
    name : str
    orcid : str, optional
        Address of the person's ORCID iD.
    """

    name: str
    orcid: str | None = None


def author_of(text: str) -> Author:
    """The author that a user wrote as `NAME` or `NAME <https://orcid.org/...>`.

    Raises
    ------
    InputError
        If it is of neither form.

    Examples
    --------
    >>> author_of("Ada Lovelace <https://orcid.org/0000-0000-0000-0000>").name
    'Ada Lovelace'
    """
    if (found := AUTHOR.fullmatch(text.strip())) is None:
        raise InputError(
            f"--author {text[:100]!r}: write NAME or 'NAME <https://orcid.org/0000-0000-0000-0000>'"
        )
    return Author(found["name"], found["orcid"])


def export_crate(
    profile: Profile,
    folder: Path,
    authors: Sequence[Author] = (),
    licence: str = MIT,
    weights: Collection[str] = (),
    pictures: Collection[str] = (),
) -> str:
    """Write the results and the report of a profile as an RO-Crate.

    Parameters
    ----------
    profile : Profile
        `reports/` must be of it.
    folder : Path
        Folder to write; a crate that is there is replaced.
    authors : sequence of Author
        Who ran it.
    licence : str
        Address of the licence of the results.
    weights, pictures : collection of str
        Methods whose weights, and test sets whose restored images go along.

    Returns
    -------
    str
        One line that says what was written.

    Raises
    ------
    InputError
        If `rocrate` is not installed, nothing is finished, the report is of another profile, the
        workflow is not here, or the folder is there and no crate.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise InputError("rocrate is not installed; run pip install 'irsde[export]'") from None
    if folder.exists() and not is_present(folder / METADATA):
        raise InputError(f"{folder}: is there and no crate; choose another folder")
    if not licence.startswith("https://"):
        raise InputError(f"--licence {licence[:100]}: give its address, such as {MIT}")
    if not is_present(WORKFLOW):
        raise InputError(f"{WORKFLOW}: no such file; run irsde in the project folder")
    shown = read_lineage().profile
    if shown != profile.name:
        raise InputError(
            f"{REPORTS}: is of the profile {shown}; run irsde report --profile {profile.name} first"
        )
    chosen = select(profile, weights, pictures)
    crate = ROCrate(gen_preview=True, version=VERSION)
    _Writer(crate, profile, chosen).write(authors, licence)
    with replacing_folder(folder) as temporary:
        crate.write(temporary)
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return f"{folder}: {chosen.counts}, {len(files)} files, {size / 1e6:.1f} MB"


class _Writer:
    """Puts the parts of a profile's results into a crate."""

    def __init__(self, crate: "ROCrate", profile: Profile, chosen: Selection) -> None:
        self._crate = crate
        self._profile = profile
        self._chosen = chosen
        self._files: dict[Path, Entity] = {}
        self._agents: list[Entity] = []
        self._actions: list[Entity] = []
        self._controls: list[Entity] = []
        self._times: list[datetime] = []

    def write(self, authors: Sequence[Author], licence: str) -> None:
        self._describe(authors, licence)
        settings = self._file(PROFILE_FOLDER / f"{self._profile.name}.yaml")
        workflow = self._add_workflow()
        runs = {run.folder.as_posix(): self._add_run(run, settings) for run in self._chosen.runs}
        scored = [self._add_evaluation(path, runs) for path in self._chosen.evaluations]
        tables = [self._file(path) for path in _report_files()]
        self._add_action(
            "report",
            self._profile.name,
            "report",
            "Tables of all evaluations; provenance.json has the sources of every cell",
            [settings, *(file for files in scored for file in files)],
            tables,
            Cost(),
        )
        self._add_whole(workflow, settings, tables)

    def _describe(self, authors: Sequence[Author], licence: str) -> None:
        """What the crate is of, who made it, and its terms."""
        root, name = self._crate.root_dataset, self._profile.name
        root["name"] = f"Results of irsde, profile {name}"
        root["description"] = (
            "Benchmark of image restoration with mean-reverting SDEs: the run card of every "
            "training, the values of every test image, and the tables made of them. "
            f"{' '.join(self._profile.caption.split())}".strip()
        )
        name_of_licence = licence.rstrip("/").rpartition("/")[2]
        root["license"] = self._entity(licence, "CreativeWork", name=name_of_licence)
        root["conformsTo"] = [
            self._entity(address, "CreativeWork", name=of, version=version)
            for address, (of, version) in PROFILES.items()
        ]
        for author in authors:
            identifier = author.orcid or f"#{slug(author.name)}"
            self._agents.append(self._entity(identifier, "Person", name=author.name))
        if self._agents:
            root["author"] = _one_or_all(self._agents)
        about = {"name": "README.md", "encodingFormat": "text/markdown", "about": root}
        text = _readme(self._profile.name, self._chosen)
        self._crate.add_file(io.StringIO(text), "README.md", properties=about)
        self._crate.metadata.extra_terms.update(TERMS)

    def _add_workflow(self) -> "Entity":
        """The Snakefile with its rules, and its steps with their tools."""
        types = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
        workflow = self._crate.add_workflow(
            WORKFLOW,
            WORKFLOW.as_posix(),
            main=True,
            lang="snakemake",
            lang_version=metadata.version("snakemake"),
            properties={
                "@type": types,
                "conformsTo": {"@id": BIOSCHEMAS},
                "encodingFormat": "text/x-python",
                "name": "The grid of a profile, stage by stage",
                "version": __version__,
            },
        )
        self._tools, self._steps = {}, {}
        for number, (step, what) in enumerate(STEPS.items()):
            self._tools[step] = self._entity(
                f"#irsde-{step}",
                "SoftwareApplication",
                name=f"irsde {step}",
                description=what,
                softwareVersion=__version__,
            )
            self._steps[step] = self._entity(
                f"{WORKFLOW.as_posix()}#{step}",
                "HowToStep",
                name=step,
                position=str(number),
                workExample=self._tools[step],
            )
        for path in (Path("Snakefile"), *sorted(WORKFLOW.parent.glob("rules/*.smk"))):
            self._file(path)
        workflow["hasPart"] = list(self._tools.values())
        workflow["step"] = list(self._steps.values())
        return workflow

    def _add_run(self, run: Run, settings: "Entity") -> list["Entity"]:
        """A training or tuning; its files."""
        card = read_run_card(run.folder)
        data = card.settings.data
        named = dict.fromkeys([*data.train, *data.validation])
        files = [self._file(path) for path in self._chosen.of_run(run)]
        self._add_action(
            "train",
            run.folder.as_posix(),
            f"{card.label}, {run.task}, seed {run.seed}",
            _made_by(card.commit, card.dirty, card.device),
            [settings, *(self._set(name) for name in named)],
            files,
            _cost(run.folder),
        )
        return files

    def _add_evaluation(
        self, folder: Path, runs: Mapping[str, Sequence["Entity"]]
    ) -> list["Entity"]:
        """An evaluation of a run; its files."""
        summary = read_summary(folder)
        files = [self._file(path) for path in self._chosen.of_evaluation(folder)]
        sampled = f"{summary.sampler}, {summary.nfe} NFE"
        self._add_action(
            "evaluate",
            folder.as_posix(),
            f"{summary.method_label} on {summary.dataset.label}, {sampled}, seed {summary.seed}",
            _made_by(summary.commit, summary.dirty, None),
            [*runs.get(summary.run, ()), self._set(summary.dataset.dataset, summary.dataset)],
            files,
            _cost(folder),
        )
        return files

    def _add_whole(
        self, workflow: "Entity", settings: "Entity", tables: Sequence["Entity"]
    ) -> None:
        """The run of the workflow, which all actions are of."""
        asked = self._parameter("profile", "settings of the grid", settings)
        made = self._parameter("tables", "tables of the report", tables[0])
        workflow["input"], workflow["output"] = asked, made
        whole = self._entity(
            "#workflow-run",
            "CreateAction",
            name=f"irsde with the profile {self._profile.name}",
            description="All trainings, evaluations and the report",
            instrument=workflow,
            object=settings,
            result=[*tables],
            **_interval(self._times),
            **self._agent(),
        )
        engine = self._entity(
            "#irsde",
            "SoftwareApplication",
            name="irsde",
            description="Its stages were started by Snakemake, DVC or by hand",
            softwareVersion=__version__,
        )
        self._entity(
            "#organize",
            "OrganizeAction",
            name="Order of the stages",
            instrument=engine,
            object=self._controls,
            result=whole,
        )
        self._crate.root_dataset["mentions"] = [whole, *self._actions]

    def _add_action(
        self,
        step: str,
        key: str,
        name: str,
        description: str,
        inputs: Sequence["Entity"],
        outputs: Sequence["Entity"],
        cost: Cost,
    ) -> None:
        """An execution of a step, with its times and what it used."""
        times = _times(cost)
        self._times += times
        used = [
            self._entity(
                f"#{step}/{key}/{field}",
                "PropertyValue",
                name=what,
                propertyID=field,
                unitCode=f"http://qudt.org/vocab/unit/{unit}",
                value=str(getattr(cost, field)),
            )
            for field, (what, unit) in USED.items()
            if getattr(cost, field) is not None
        ]
        action = self._entity(
            f"#{step}/{key}",
            "CreateAction",
            name=name,
            description=description,
            instrument=self._tools[step],
            object=[*inputs],
            result=[*outputs],
            **({"resourceUsage": used} if used else {}),
            **_interval(times),
            **self._agent(),
        )
        self._actions.append(action)
        self._controls.append(
            self._entity(
                f"#control/{step}/{key}",
                "ControlAction",
                name=f"{step}: {name}",
                instrument=self._steps[step],
                object=action,
            )
        )

    def _agent(self) -> dict[str, "Entity"]:
        return {"agent": self._agents[0]} if self._agents else {}

    def _parameter(self, name: str, description: str, example: "Entity") -> "Entity":
        """An input or output of the workflow, with the file that it was here."""
        parameter: Entity = self._crate.add_formal_parameter(
            name, "File", f"#parameter-{name}", description, valueRequired=True
        )
        parameter["workExample"] = example
        example["exampleOfWork"] = parameter
        return parameter

    def _set(self, name: str, card: PreparedCard | None = None) -> "Entity":
        """A data set, which is described and not part of the crate."""
        identifier = f"#set-{name}" + (f"-{card.fingerprint[:12]}" if card else "")
        if found := self._crate.get(identifier):
            return found
        described = _described(name) | (_prepared(card) if card else {})
        fields = {key: value for key, value in described.items() if value}
        return self._entity(identifier, "Dataset", **fields)

    def _file(self, path: Path) -> "Entity":
        """A file of the crate, at the path that it has here."""
        if path not in self._files:
            media = MEDIA.get(path.suffix) or mimetypes.guess_type(path.name)[0]
            self._files[path] = self._crate.add_file(
                path,
                path.as_posix(),
                properties={
                    "name": path.name,
                    "encodingFormat": media or "text/plain",
                    "contentSize": str(path.stat().st_size),
                    "sha256": digest_file(path),
                },
            )
        return self._files[path]

    def _entity(self, identifier: str, of: str, /, **fields: object) -> "Entity":
        from rocrate.model.contextentity import ContextEntity

        values = {name: _one_or_all(value) for name, value in fields.items()}
        found: Entity = self._crate.add(
            ContextEntity(self._crate, identifier, properties={"@type": of, **values})
        )
        return found


def _described(name: str) -> dict[str, str]:
    """What the catalogue says of a data set."""
    facts = facts_of(name)
    return {
        "name": facts.label,
        "license": facts.licence,
        "citation": facts.citation,
        "url": facts.page,
    }


def _prepared(card: PreparedCard) -> dict[str, str]:
    """What the card of prepared pairs says."""
    return {
        "name": card.label,
        "license": card.licence,
        "description": f"{card.pairs} images of {card.scenes} scenes; {card.degradation}",
        "identifier": card.fingerprint,
    }


def _one_or_all(value: object) -> object:
    """A list of one as what is in it, which RO-Crate asks for."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _readme(profile: str, chosen: Selection) -> str:
    return f"""# Results of irsde, profile {profile}

{chosen.counts}, with the tables made of them: an RO-Crate, described by `{METADATA}`.

- `reports/tables.md`: the tables; `reports/provenance.json` has the sources of every cell.
- `results/`: card of every run (`run.json`), values of every image (`per_image.csv`), means with
  intervals (`summary.json`), times and memory (`cost.json`).
- `workflow/`: the workflow and the settings of the profile.

In a checkout of irsde that has these folders, `irsde explain reports/tables.md` says where a number
comes from, and `irsde report --profile {profile}` makes the tables again.
"""


def _report_files() -> list[Path]:
    return [REPORTS / name for name in REPORT_FILES if is_present(REPORTS / name)]


def _made_by(commit: str | None, dirty: bool | None, device: str | None) -> str:
    """Code and machine of an action, in words."""
    code = f"at commit {commit}" if commit else "outside git"
    changed = " with uncommitted changes" if dirty else ""
    return f"{code}{changed}" + (f", on {device}" if device else "")


def _cost(folder: Path) -> Cost:
    path = folder / "cost.json"
    return Cost.read(path) if is_present(path) else Cost()


def _times(cost: Cost) -> list[datetime]:
    """When the work began and ended; none where that was not recorded."""
    if cost.ended is None or cost.seconds is None:
        return []
    ended = datetime.fromisoformat(cost.ended)
    return [ended - timedelta(seconds=round(cost.seconds)), ended]


def _interval(times: Sequence[datetime]) -> dict[str, str]:
    if not times:
        return {}
    return {"startTime": min(times).isoformat(), "endTime": max(times).isoformat()}
