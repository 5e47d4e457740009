"""The command line: parse, call one stage, print one line. Errors leave by exit code 2."""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irsde.experiment.options import OPTIONS, Option, check_options, flag
from irsde.files import INPUT_EXIT_CODE, InputError
from irsde.guide import Guide
from irsde.machine.signals import STOPPED_EXIT_CODE, StoppedError
from irsde.terminal import fold_to_terminal, folded, width_of, write_plainly

if TYPE_CHECKING:
    from irsde.evaluation.outside import PreparedSet

app = typer.Typer(
    cls=Guide,
    context_settings={"max_content_width": 120},
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data = typer.Typer(
    cls=Guide,
    help="Data sets: list, fetch, adopt and check them, prepare pairs.",
    no_args_is_help=True,
)
tracking = typer.Typer(
    cls=Guide, help="MLflow: log what the result files hold.", no_args_is_help=True
)
exchange = typer.Typer(
    cls=Guide,
    help="Results and data in forms that archives and other tools read.",
    no_args_is_help=True,
)
evidence = typer.Typer(
    cls=Guide, help="Export small result files to git, or import them.", no_args_is_help=True
)
weights = typer.Typer(
    cls=Guide,
    help="Published weights: list, fetch, adopt, import them as runs.",
    no_args_is_help=True,
)
app.add_typer(data, name="data")
app.add_typer(evidence, name="evidence")
app.add_typer(exchange, name="export")
app.add_typer(tracking, name="track")
app.add_typer(weights, name="weights")

ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", help="Profile in workflow/config; default: params.yaml's."),
]
TaskOption = Annotated[str, typer.Option("--task", help="A task, such as deraining.")]


def _print_version(asked: bool) -> None:
    from irsde import __version__

    if asked:
        print(f"irsde {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Reproducible benchmarks of image restoration with mean-reverting SDEs (IR-SDE)."""


def _profile_name(name: str | None) -> str:
    from irsde.experiment.fields import check_form
    from irsde.experiment.profile import active_profile

    return active_profile() if name is None else check_form("--profile", name)


@app.command()
def plan(
    profile: ProfileOption = None,
    check: Annotated[
        bool, typer.Option(help="Only check whether params.yaml is up to date.")
    ] = False,
) -> None:
    """Write the grid of a profile to params.yaml and so make it the active one.

    Snakemake reads only the profile's name there; DVC iterates over the whole grid.
    """
    from irsde.audit.evidence import given
    from irsde.evaluation.current import write_state
    from irsde.experiment.grid import (
        evaluations,
        further_evaluations,
        parameters,
        runs,
        write_parameters,
    )
    from irsde.experiment.profile import PARAMETERS, load_profile

    loaded = load_profile(_profile_name(profile))
    imported = given(loaded)
    if check:
        if not PARAMETERS.is_file() or PARAMETERS.read_text(encoding="utf-8") != parameters(
            loaded, imported
        ):
            raise InputError(f"{PARAMETERS}: not the grid of {loaded.name}; run irsde plan")
        print(f"{PARAMETERS}: up to date with profile {loaded.name}")
        return
    write_parameters(loaded, imported)
    write_state(loaded)
    further = len(further_evaluations(loaded))
    print(
        f"{PARAMETERS}: profile {loaded.name}, {len(runs(loaded))} runs, "
        f"{len(evaluations(loaded))} evaluations"
        + (f" and {further} of sweeps and causes" if further else "")
    )


@app.command()
def keys(
    part: Annotated[
        str | None, typer.Argument(help="Part of a key, such as training.batch or memory.")
    ] = None,
) -> None:
    """Explain the keys of a profile: what may be given, the default, the effect."""
    import shutil

    from irsde.experiment.keys import described

    print(described(part, shutil.get_terminal_size().columns))


@data.command("list")
def list_data(
    name: Annotated[str | None, typer.Argument(help="A data set or family, in full.")] = None,
) -> None:
    """List the data sets of data/catalogue.yaml and which are in data/; or describe one."""
    from irsde.data.listing import described, overview

    print(described(name) if name else overview())


@data.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names from irsde data list.")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Fetch all data sets of a profile.")
    ] = None,
) -> None:
    """Bring data sets into data/: download and check them, or index a folder of your own."""
    from irsde.data.fetch.fetching import fetch as fetch_one
    from irsde.data.fetch.fetching import fetch_all

    if bool(names) == bool(profile):
        raise InputError("irsde data fetch: give names, or --profile")
    if profile:
        from irsde.experiment.profile import load_profile

        loaded = load_profile(profile)
        print("\n".join(fetch_all(loaded)))
    for name in names or ():
        print("\n".join(fetch_one(name)))


@data.command()
def adopt(
    folder: Annotated[Path, typer.Argument(help="Folder with images, searched recursively.")],
    name: Annotated[
        str | None, typer.Option("--as", help="Name of the data set (detected if omitted).")
    ] = None,
    copy: Annotated[bool, typer.Option(help="Copy the files instead of linking them.")] = False,
    allow_differences: Annotated[
        bool, typer.Option(help="Accept differing or missing images.")
    ] = False,
) -> None:
    """Take images you have as a data set: recognised by their pixels, paired, linked into data/."""
    from irsde.data.adopt.adoption import adopt as adopt_folder

    print("\n".join(adopt_folder(folder, name, copy=copy, allow_differences=allow_differences)))


@data.command()
def fingerprint(
    name: Annotated[str, typer.Argument(help="A data set in data/.")],
) -> None:
    """Write data/fingerprints/NAME.csv, by which others' copies are recognised."""
    from irsde.data.adopt.known_sets import record_fingerprints

    print(record_fingerprints(name))


@data.command()
def check(
    task: Annotated[str | None, typer.Option("--task", help="A task of the profile.")] = None,
    profile: ProfileOption = None,
    train: Annotated[
        list[str] | None, typer.Option("--train", help="Data set or folder; repeat for more.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option("--test", help="Data set or folder; repeat for more.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Data set whose scenes are excluded from training.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a picture of the pairs (PNG).")] = None,
    table: Annotated[Path | None, typer.Option(help="Write a table of the pairs (CSV).")] = None,
) -> None:
    """Find training images that show what a test image shows: by pixels, by scene, by look.

    With --train and --test any data sets or folders are compared; else those of a profile's tasks.
    """
    from irsde.data.leakage.check import check_profile, check_sets

    if bool(train) != bool(test) or (train and (task or profile)):
        raise InputError("irsde data check: give --train and --test, or --task and --profile")
    if train and test:
        print(check_sets(train, test, without or [], sheet, table))
        return
    from irsde.experiment.profile import load_profile
    from irsde.files import check_name

    loaded = load_profile(_profile_name(profile))
    if task:
        check_name("task", task, loaded.tasks)
    print(check_profile(loaded, (task,) if task else loaded.tasks, sheet, table))


@data.command()
def prepare(
    task: TaskOption,
    dataset: Annotated[
        str | None,
        typer.Option(help="One data set of the task; default: all, with a leakage check."),
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Make the training, validation and test pairs of a task below data/prepared."""
    from irsde.data.prepare import prepare as prepare_pairs
    from irsde.data.sets import dataset_folder, left_out
    from irsde.experiment.grid import preparations
    from irsde.experiment.profile import load_profile
    from irsde.files import check_name

    loaded = load_profile(_profile_name(profile))
    check_name("task", task, loaded.tasks)
    settings = loaded.data.of(task)
    names = [dataset] if dataset else [name for of, name in preparations(loaded) if of == task]
    for name in names:
        print(f"{prepare_pairs(loaded.name, task, name, settings)}: ready")
        if line := left_out(dataset_folder(name)):
            print(line)
    if dataset is None:
        from irsde.data.leakage.check import check_profile

        print(check_profile(loaded, (task,)))


@data.command()
def figures(profile: ProfileOption = None) -> None:
    """Draw what each task's degradation does, beside real samples, into reports/degradations."""
    from irsde.data.pictures import write_figures
    from irsde.experiment.profile import load_profile

    print(write_figures(load_profile(_profile_name(profile)).tasks))


@data.command()
def state(profile: ProfileOption = None) -> None:
    """Note in data/state.json what DVC compares: code, contents of data sets, metrics' weights."""
    from irsde.evaluation.current import write_state
    from irsde.experiment.profile import load_profile

    print(write_state(load_profile(_profile_name(profile))))


@app.command()
def train(
    task: Annotated[str | None, typer.Option("--task", help="A task, such as deraining.")] = None,
    method: Annotated[str | None, typer.Option(help="A method or variant, such as ir-sde.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Training seed; default: 0.")] = None,
    profile: ProfileOption = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            help="Replace a run of another configuration, which is kept in results/replaced."
        ),
    ] = False,
    continue_to: Annotated[
        int | None,
        typer.Option(
            "--continue-to",
            min=1,
            help="Continue a finished run to this many iterations, as a new run METHOD+toN.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Start from the weights of a run folder or a safetensors file, as a new run "
            "METHOD+fromSHA256.",
        ),
    ] = None,
    allow_leakage: Annotated[
        bool,
        typer.Option(help="Train even if training images show test scenes; the run card says so."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Predict hours and memory without training; of all runs of the profile unless "
            "--task and --method are given.",
        ),
    ] = False,
) -> None:
    """Train one run, or tune it where the method has no network.

    Resumes from the run's checkpoint to the same bits as if it had never stopped. Where the
    profile asks for several processes, this starts them.
    """
    from irsde.data.leakage.record import read_leaks
    from irsde.experiment.grid import Run
    from irsde.experiment.profile import load_profile, run_settings
    from irsde.machine.launch import reported_end, start_processes
    from irsde.machine.world import world_of_environment
    from irsde.training.run import train as train_run

    without_effect = {
        "--overwrite": overwrite,
        "--allow-leakage": allow_leakage,
        "--continue-to": continue_to is not None,
        "--from": weights is not None,
    }
    if dry_run and (given := [option for option, is_given in without_effect.items() if is_given]):
        raise InputError(f"irsde train --dry-run: {given[0]} has no effect; omit it")
    if continue_to is not None and weights is not None:
        raise InputError("irsde train: give --continue-to or --from")
    loaded = load_profile(_profile_name(profile))
    if dry_run and not (task and method):
        from irsde.training.prediction import overview

        print(overview(loaded, task, method, seed))
        return
    if not task or not method:
        raise InputError("irsde train: give --task and --method")
    run = Run(loaded.name, task, method, seed or 0)
    start = None
    if continue_to is not None:
        from irsde.training.starting import continuation

        run, settings, start = continuation(loaded, run, continue_to)
    else:
        settings = run_settings(loaded, task, method, run.seed)
    if weights is not None:
        from irsde.training.starting import fine_tuning

        run, start = fine_tuning(loaded, run, weights)
    if allow_leakage:
        allowed = settings.data.model_copy(update={"allow_leakage": True})
        settings = settings.model_copy(update={"data": allowed})
    if dry_run:
        from irsde.training.prediction import predict

        print(f"{run.folder}: {predict(run, settings).text}")
        return
    if settings.training and settings.training.processes > 1 and "RANK" not in os.environ:
        start_processes(settings.training.processes)
        return
    leaks = read_leaks(loaded.name, task, loaded.data.of(task))
    with reported_end():
        line = train_run(run, settings, overwrite=overwrite, leaks=leaks, start=start)
    if not world_of_environment().is_first:
        return
    print(line, flush=True)


def _with_evaluation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take an option for each field of `EvaluationOptions`, after --dataset."""
    parameters = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            parameters.append(parameter)
        if parameter.name == "dataset":
            parameters += [_parameter(name, option) for name, option in OPTIONS.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # for typer
    return command


def _parameter(name: str, option: Option) -> inspect.Parameter:
    """Option of the command line; None where it is not given."""
    usual = "" if option.default is None else f"; default: {option.default}"
    least = option.least if option.is_number else None
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=typer.Option(None, help=f"{option.help}{usual}.", min=least),
        annotation=int if option.is_number else str,
    )


@app.command()
@_with_evaluation_options
def evaluate(
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder, results/<profile>/<task>/<method>/seed<k>."),
    ] = None,
    restored: Annotated[
        Path | None, typer.Option(help="Instead of --run: a folder of images restored elsewhere.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Prepared test set; default: all test sets of the task.")
    ] = None,
    evaluation: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of --dataset: DATASET/SAMPLER-NFE, as its folder; several in one process."
        ),
    ] = None,
    done: Annotated[
        Path | None,
        typer.Option(help="With --evaluation: file for a list of them, once all are finished."),
    ] = None,
    all_protocols: Annotated[
        bool, typer.Option("--all-protocols", help="Print the means under every protocol.")
    ] = False,
    reference: Annotated[
        Path | None, typer.Option(help="With --restored: folder of the clean images.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="With --restored: how its files are named, such as '{name}_x4_Net'."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="With --restored: how to score; default: rgb.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="With --restored: the method's name for tables.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --restored: folder to write to.")] = None,
    task: Annotated[
        str | None, typer.Option(help="With --restored and --dataset: join this task's tables.")
    ] = None,
    profile: ProfileOption = None,
    **options: str | int | None,
) -> None:
    """Restore a data set with a finished run and score every image; or score anyone's images.

    An evaluation that fails is named, and the others of the run are finished all the same.

    With --restored, the images of a folder are scored against those of --reference, paired by
    equal names, by the rules of the catalogue (rain-001 with norain-001, 1400_1 with 1400) or by
    --pattern. With --task and --dataset they are results on a test set of the profile, restored
    from data/prepared/<profile>/<task>/<dataset>/LQ, and join its tables.
    """
    of_images = {
        "--reference": reference is not None,
        "--pattern": pattern is not None,
        "--protocol": protocol is not None,
        "--name": name is not None,
        "--out": out is not None,
        "--task": task is not None,
        "--profile": profile is not None,
    }
    if (run is None) == (restored is None):
        raise InputError("irsde evaluate: give --run, or --restored")
    of_one = {flag(name): value is not None for name, value in options.items()}
    of_several = {"--evaluation": bool(evaluation), "--done": done is not None}
    foreign = of_images if run else of_one | of_several
    if given := [option for option, is_given in foreign.items() if is_given]:
        wanted = "--restored" if run else "--run"
        raise InputError(f"irsde evaluate: {given[0]} goes with {wanted} only")
    if run:
        chosen = {name: value for name, value in options.items() if value is not None}
        of_one["--dataset"] = dataset is not None
        if evaluation and (given := [option for option, is_given in of_one.items() if is_given]):
            raise InputError(f"irsde evaluate: {given[0]} does not go with --evaluation")
        if done and not evaluation:
            raise InputError("irsde evaluate: --done goes with --evaluation only")
        check_options(chosen)
        places = dict.fromkeys(evaluation or ())
        _evaluate_run(run, dataset, chosen, [*places], done, all_protocols=all_protocols)
        return
    from irsde.evaluation.outside import evaluate_restored

    if name is None or restored is None:
        raise InputError("irsde evaluate --restored: give the method's --name")
    if (task is None) != (dataset is None) or (profile and not task):
        raise InputError("irsde evaluate --restored: --task and --dataset go together")
    test_set = _test_set(profile, task, dataset) if task and dataset else None
    usual = test_set.profile.evaluation.protocol if test_set else "rgb"
    text, _ = evaluate_restored(
        restored,
        reference,
        protocol or usual,
        name,
        out,
        test_set,
        all_protocols=all_protocols,
        pattern=pattern,
    )
    print(text)


def _test_set(profile: str | None, task: str, dataset: str) -> "PreparedSet":
    from irsde.data.leakage.record import leaked_images, read_leaks
    from irsde.evaluation.outside import PreparedSet
    from irsde.experiment.profile import check_task, load_profile
    from irsde.files import check_name

    check_task(task)
    loaded = load_profile(_profile_name(profile))
    check_name("task", task, loaded.tasks)
    of_task = loaded.data.of(task)
    check_name("test set", dataset, of_task.test)
    leaks = read_leaks(loaded.name, task, of_task)
    return PreparedSet(loaded, task, dataset, leaked_images(leaks, dataset))


def _evaluate_run(
    folder: Path,
    dataset: str | None,
    chosen: dict[str, Any],
    places: list[str],
    done: Path | None,
    *,
    all_protocols: bool,
) -> None:
    from irsde.data.leakage.record import leaked_images, read_leaks
    from irsde.evaluation.current import write_done
    from irsde.evaluation.evaluate import evaluate_all, usual_evaluation
    from irsde.experiment.grid import evaluation_at, refuse_without_effect, run_of
    from irsde.experiment.profile import load_profile
    from irsde.experiment.provenance import evaluation_profile, imported_from, read_run_card
    from irsde.experiment.result_tables import PER_PROTOCOL, read_protocols
    from irsde.machine.launch import start_processes
    from irsde.machine.world import world_of_environment

    run = run_of(folder)
    loaded = load_profile(run.profile)
    settings = evaluation_profile(loaded, run)
    card = read_run_card(run.folder)
    of_task = loaded.data.of(run.task)
    wanted = [evaluation_at(run, place) for place in places]
    if not places:
        usual = [
            usual_evaluation(run, name, settings, card)
            for name in ((dataset,) if dataset else of_task.test)
        ]
        wanted = [replace(one, options=replace(one.options, **chosen)) for one in usual]
    for evaluation in wanted:
        refuse_without_effect(evaluation.options, run.method)
    if settings.evaluation.processes > 1 and "RANK" not in os.environ:
        start_processes(settings.evaluation.processes)
        return
    is_first = world_of_environment().is_first
    trained_here = imported_from(run.folder) is None
    leaks = read_leaks(loaded.name, run.task, of_task) if trained_here else []
    leaked = {one.dataset: leaked_images(leaks, one.dataset) for one in wanted}
    for evaluation, line in evaluate_all(wanted, settings.evaluation, leaked):
        if not is_first:
            continue
        print(line, flush=True)
        if all_protocols:
            from irsde.scoring.score import protocol_means

            print(protocol_means(read_protocols(evaluation.folder / PER_PROTOCOL)))
    if done and is_first:
        write_done(wanted, done)


@app.command()
def average(
    run: Annotated[
        Path, typer.Option(help="Run folder, results/<profile>/<task>/<method>/seed<k>.")
    ],
    width: Annotated[float, typer.Option(help="Relative width of the average, such as 0.07.")],
) -> None:
    """Write a run with another moving average of a training that stored snapshots."""
    from irsde.experiment.grid import run_of
    from irsde.training.averaging import average as average_run

    print(average_run(run_of(run), width))


@weights.command("list")
def list_weights(
    name: Annotated[str | None, typer.Argument(help="A file of the catalogue, in full.")] = None,
) -> None:
    """Show the files of data/published_weights.yaml and which are in data/weights; or one."""
    from irsde.restoration.published import described, overview

    print(described(name) if name else overview())


@weights.command("fetch")
def fetch_weights(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names from irsde weights list.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Fetch the weights that a profile needs.")
    ] = None,
) -> None:
    """Download published weights from their authors' repositories and check them by SHA-256."""
    from irsde.data.fetch.weights import fetch_weights as fetch_files
    from irsde.experiment.grid import runs
    from irsde.experiment.profile import load_profile

    if bool(names) == bool(profile):
        raise InputError("irsde weights fetch: give names, or --profile")
    if profile:
        names = [run.method for run in runs(load_profile(profile)) if run.stage == "import"]
    print("\n".join(fetch_files(names or [])))


@weights.command("adopt")
def adopt_weights(
    folder: Annotated[
        Path, typer.Argument(help="Folder with the files, nested as they may be; or a file.")
    ],
    copy: Annotated[bool, typer.Option(help="Copy the files instead of linking them.")] = False,
) -> None:
    """Take published weights you have: recognised by SHA-256 whatever their names."""
    from irsde.restoration.published import adopt_weights as adopt_files

    lines, wrong = adopt_files(folder, copy=copy)
    print("\n".join([*lines, *(wrong if wrong[1:] else [])]))
    if wrong:
        more = f"; this and {len(wrong) - 1} more files, listed above, were not taken"
        raise InputError(f"{wrong[0]}{more if wrong[1:] else ''}")


@weights.command("import")
def import_weights(
    source: Annotated[
        str, typer.Argument(help="A name from irsde weights list, or a file of weights.")
    ],
    task: Annotated[
        str | None, typer.Option("--task", help="Of weights of IR-SDE or Refusion.")
    ] = None,
    profile: ProfileOption = None,
    stationary_std: Annotated[
        str | None,
        typer.Option("--lambda", help="Such as 50/255; default: of the authors' configuration."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="T; default: of the authors' configuration.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="cosine, linear or constant; default: cosine.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            help="Replace a run of another source or process, which is kept in results/replaced."
        ),
    ] = False,
) -> None:
    """Write published weights as a run, to be evaluated like a trained one.

    A file of the catalogue is known by its SHA-256, or named; its run is
    results/<profile>/<task>/<name>/seed0. Any other file is taken as the authors' own of IR-SDE or
    Refusion and needs --task: its run is results/<profile>/<task>/ir-sde+authors/seed0, or
    .../denoising-ode+authors/seed0 for a network that sees only the noisy image, and joins no table
    by itself. A ConditionalUNet gets the process of the authors' IR-SDE configuration, a
    ConditionalNAFNet that of Refusion's; what was taken, and why, is printed. Such a run is
    evaluated with the plain conversion, as the authors' code reads the noise, unless irsde evaluate
    is told otherwise.
    """
    from irsde.experiment.grid import Run
    from irsde.experiment.profile import check_task, load_profile, run_settings
    from irsde.experiment.published_weights import CATALOGUE, read_weights_catalogue, weights_of
    from irsde.restoration.import_weights import METHOD
    from irsde.restoration.import_weights import import_weights as import_file
    from irsde.restoration.published import import_published, name_of

    loaded = load_profile(_profile_name(profile))
    known = read_weights_catalogue() if CATALOGUE.is_file() else {}
    is_name = source in known
    name = source if is_name else name_of(Path(source)) if known else None
    if name is not None:
        for option, value in (
            ("--task", task),
            ("--lambda", stationary_std),
            ("--steps", steps),
            ("--schedule", schedule),
        ):
            if value is not None:
                raise InputError(f"{option} has no effect on {name}: leave it out")
        run = Run(loaded.name, weights_of(name).task, name, 0)
        settings = run_settings(loaded, run.task, name, 0)
        file = None if is_name else Path(source)
        print(import_published(run, settings, file, overwrite=overwrite))
        return
    if task is None:
        raise InputError(
            f"{source}: neither a name of irsde weights list nor, by its SHA-256, a file of it; "
            "for weights of IR-SDE or Refusion give --task"
        )
    check_task(task)
    run = Run(loaded.name, task, METHOD, 0)
    print(
        import_file(
            Path(source),
            run,
            loaded.data.of(task),
            overwrite=overwrite,
            stationary_std=stationary_std,
            steps=steps,
            schedule=schedule,
        )
    )


@app.command()
def restore(
    photo: Annotated[Path, typer.Argument(help="Image file, or folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder to write PNG files to.")],
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder, results/<profile>/<task>/<method>/seed<k>."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Instead of --run: the committed weights for this task.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Method of the committed weights; default: ir-sde.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler; default: the method's.")] = None,
    nfe: Annotated[
        int | None,
        typer.Option(min=1, help="Network evaluations; default: what the run was evaluated with."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling noise.")] = 0,
    samples: Annotated[
        int,
        typer.Option(help="Restorations of each photograph; several give a mean and uncertainty."),
    ] = 1,
    tile: Annotated[
        int, typer.Option(help="Side of the tiles, pixels; 0 for whole photographs.")
    ] = 512,
    overlap: Annotated[
        int | None, typer.Option(help="Pixels that tiles share; default: an eighth of the side.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Tiles per network call.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Tiles processed at once on the CPU; default: all cores. The result is the same."
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="For inpainting: image or folder of images, white where to fill."),
    ] = None,
    noise_level: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise, images in [0, 1]; of Denoising-SDE and FFDNet."
        ),
    ] = None,
    conversion: Annotated[
        str | None,
        typer.Option(help="As in irsde evaluate; default: exact, or plain for imported weights."),
    ] = None,
) -> None:
    """Restore photographs of any size with a finished run, tile by tile.

    A gray photograph stays gray. Sampler and network evaluations are those that the run was
    evaluated with, unless given; the choice is printed and recorded in restored.json.
    """
    from irsde.audit.evidence import run_with_weights
    from irsde.experiment.profile import check_task
    from irsde.restoration.photos import RestoreOptions, restore_photographs

    if task is not None:
        check_task(task)
    if (run is None) == (task is None):
        raise InputError("give --run, a run folder, or --task, to use the committed weights")
    if run is not None and method is not None:
        raise InputError("--method goes with --task; a run has its method")
    chosen = run or run_with_weights(str(task), method or "ir-sde")
    options = RestoreOptions(
        sampler,
        nfe,
        seed,
        samples,
        tile,
        overlap,
        batch,
        threads,
        mask,
        noise_level,
        conversion,
    )
    print(restore_photographs(photo, chosen, out, options))


@app.command()
def report(
    profile: ProfileOption = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Compile with missing evaluations and list them.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="That draw figures at once; default: all cores.")
    ] = None,
) -> None:
    """Compile tables, figures and the page of a profile's finished evaluations into reports/."""
    from irsde.experiment.profile import load_profile
    from irsde.report.build import compile_report

    name = _profile_name(profile)
    print(compile_report(load_profile(name), partial=partial, processes=processes))


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Evaluation, or folder of irsde evaluate --out.")],
    b: Annotated[Path, typer.Argument(help="Another evaluation of the same images.")],
    picture: Annotated[
        Path | None, typer.Option(help="Write a picture of the images where each wins most (PNG).")
    ] = None,
) -> None:
    """Compare two sets of results image by image: differences, intervals, where each wins."""
    from irsde.audit.compare import compare as compare_results

    print(compare_results(a, b, picture))


@app.command()
def explain(
    address: Annotated[
        str, typer.Argument(help="reports/tables.md:TABLE/ROW/COLUMN, or a part of it.")
    ],
) -> None:
    """Show where a number comes from: images, run, settings, data, commit, commands."""
    from irsde.audit.explain import explain as explain_cell

    print(explain_cell(address))


@app.command()
def diagnose(
    row: Annotated[str, typer.Argument(help="Printed row, such as rain100h-test/PReNet.")],
    restored: Annotated[Path | None, typer.Option(help="Folder of your restored images.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="With --restored: folder of the clean images.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="With --restored: how its files are named.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="With --restored: how you scored; default: rgb.")
    ] = None,
    psnr: Annotated[float | None, typer.Option(help="Your number, in dB.")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Option file of the authors' programs, YAML.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Log of the authors' programs.")] = None,
) -> None:
    """Rank what could explain the gap between your number and a printed row.

    Images are scored in every way; what they cannot show has the effect that the committed study
    measured. Option file and log are those of the authors' train.py and test.py.
    """
    from irsde.audit.diagnose.gap import Given
    from irsde.audit.diagnose.gap import diagnose as explain_gap

    print(explain_gap(row, Given(restored, reference, pattern, protocol, settings, log, psnr)))


@app.command()
def verify(
    profile: ProfileOption = None,
    recompute: Annotated[
        str | None,
        typer.Option(help="TABLE/ROW: restore its images again and compare all values."),
    ] = None,
) -> None:
    """Check that tables, result files, weights and data still agree; exit code 1 if not."""
    from irsde.audit.verify import verify as verify_chain
    from irsde.experiment.profile import load_profile
    from irsde.experiment.recorded import read_lineage
    from irsde.report.build import rebuilt_tables

    loaded = load_profile(read_lineage().profile if profile is None else profile)
    text, agrees = verify_chain(loaded.name, lambda: rebuilt_tables(loaded))
    print(text)
    if recompute:
        from irsde.audit.recompute import recompute as recompute_row

        text, same = recompute_row(recompute)
        print(text)
        agrees = agrees and same
    if not agrees:
        raise typer.Exit(1)


@evidence.command("export")
def export_evidence(
    folder: Annotated[Path, typer.Argument(help="Folder in git.")] = Path("reports/study"),
    profile: ProfileOption = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Method whose weights to include; repeatable.")
    ] = None,
    pictures: Annotated[
        list[str] | None, typer.Option(help="Test set whose images may be published; repeatable.")
    ] = None,
) -> None:
    """Copy run cards, values of every image and chosen weights of a profile's results."""
    from irsde.audit.evidence import export_evidence as export
    from irsde.experiment.profile import load_profile

    loaded = load_profile(_profile_name(profile))
    print(export(loaded, folder, weights or [], pictures or []))


@evidence.command("import")
def import_evidence(
    folder: Annotated[Path, typer.Argument(help="Folder in git.")] = Path("reports/study"),
    profile: ProfileOption = None,
) -> None:
    """Copy committed evidence back into results/, to report, verify or extend it."""
    from irsde.audit.evidence import import_evidence as bring_back

    print(bring_back(_profile_name(profile), folder))


@exchange.command("crate")
def export_crate(
    folder: Annotated[Path, typer.Argument(help="Folder to write; a crate there is replaced.")],
    profile: ProfileOption = None,
    author: Annotated[
        list[str] | None,
        typer.Option(help="Who ran it, NAME or 'NAME <https://orcid.org/...>'; repeatable."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Address of the results' licence; default: that of MIT.")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Method whose weights go along; repeatable.")
    ] = None,
    pictures: Annotated[
        list[str] | None, typer.Option(help="Test set whose images may be public; repeatable.")
    ] = None,
) -> None:
    """Write results, report and workflow of a profile as a Workflow Run RO-Crate."""
    from irsde.audit.crate import MIT, author_of
    from irsde.audit.crate import export_crate as export
    from irsde.experiment.profile import load_profile

    authors = [author_of(text) for text in author or ()]
    loaded = load_profile(_profile_name(profile))
    print(export(loaded, folder, authors, licence or MIT, weights or [], pictures or []))


@exchange.command("croissant")
def export_croissant(
    folder: Annotated[Path, typer.Argument(help="Folder to write FOLDER/TASK/DATASET in.")],
    profile: ProfileOption = None,
    task: Annotated[
        str | None, typer.Option("--task", help="A task of the profile; all unless given.")
    ] = None,
) -> None:
    """Copy the prepared pairs of a profile, each data set with a Croissant card."""
    from irsde.audit.croissant import export_croissant as export
    from irsde.experiment.profile import load_profile
    from irsde.files import check_name

    loaded = load_profile(_profile_name(profile))
    if task:
        check_name("task", task, loaded.tasks)
    print(export(loaded, folder, (task,) if task else loaded.tasks))


@app.command()
def status(profile: ProfileOption = None) -> None:
    """Show the progress of every run of a profile: iteration, speed, time left, validation."""
    from irsde.audit.status import standings, table
    from irsde.experiment.profile import load_profile

    print(table(standings(load_profile(_profile_name(profile)))))


@tracking.command()
def sync(profile: ProfileOption = None) -> None:
    """Log to MLflow every finished run and evaluation that the store lacks."""
    from irsde.files import RESULTS
    from irsde.tracking import store as mlflow_view

    name = _profile_name(profile)
    if not (RESULTS / name).is_dir():
        raise InputError(f"{RESULTS / name}: no results; run snakemake or irsde train first")
    try:
        logged, present = mlflow_view.sync(name)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - a store fails in ways of its backend
        raise InputError(f"the store cannot be reached ({_reason(error)})") from None
    print(f"{mlflow_view.tracking_uri()}: {logged} logged, {present} already there")


@tracking.command()
def rebuild() -> None:
    """Rebuild the MLflow store from result files alone."""
    from irsde.tracking.rebuild import rebuild as rebuild_store
    from irsde.tracking.store import MlflowException

    try:
        print(rebuild_store())
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the store cannot be written ({reason}); the old one is unchanged"
        ) from None


@tracking.command()
def follow(profile: ProfileOption = None) -> None:
    """Log a profile to MLflow as it grows, until stopped; Snakemake starts and ends this."""
    from irsde.tracking.follow import follow as follow_profile

    print(follow_profile(_profile_name(profile)))


@app.command()
def doctor() -> None:
    """Say what this machine can run: torch, GPU, LPIPS weights, free disk, profiles."""
    import shutil

    from irsde.experiment.profile import PROFILE_FOLDER
    from irsde.experiment.provenance import versions
    from irsde.scoring.distributions import feature_network
    from irsde.scoring.metrics import METRICS

    for name, version in versions().items():
        print(f"{name}: {version}")
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    print(f"GPU: {', '.join(gpus) or 'none; networks run on the CPU'}")
    print(f"CPU cores: {os.cpu_count()}")
    for metric in METRICS.values():
        if metric.weights:
            used = metric.weights.load()
            print(f"{metric.label}: {used.label or 'n/a: ' + used.unavailable}")
    inception = feature_network()
    print(
        f"FID and KID: {'n/a: ' + inception.unavailable if inception.unavailable else 'Inception'}"
    )
    print(f"free disk here: {shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB")
    profiles = sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml"))
    print(f"profiles: {', '.join(profiles) or 'none; run irsde in the project folder'}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


# Some versions of Typer bring a Click of their own; its ClickException is found by BadParameter.
CLICK_EXCEPTION: type[Exception] = typer.BadParameter.__mro__[2]


def _fail(text: str) -> None:
    sys.stdout.flush()
    print(folded(text, width_of(sys.stderr)), file=sys.stderr)


def main() -> None:
    """Entry point: wrong input ends with one line on standard error and exit code 2."""
    write_plainly()
    fold_to_terminal()
    try:
        code = app(prog_name="irsde", standalone_mode=False)
    except CLICK_EXCEPTION as error:
        message = str(getattr(error, "format_message", error.__str__)())
        if not message.startswith("Usage:"):
            command = getattr(getattr(error, "ctx", None), "command_path", "irsde")
            message = message.rstrip(".")
            advice = " Try" if message.endswith("?") else "; try"
            message = f"irsde: {message}{advice} {command} --help"
        _fail(message)
        sys.exit(INPUT_EXIT_CODE)
    except InputError as error:
        _fail(f"irsde: {error}")
        sys.exit(INPUT_EXIT_CODE)
    except OSError as error:
        if error.filename is None:
            raise
        text = error.strerror
        if isinstance(error, FileExistsError):
            text = "exists and is no folder; move it away or choose another place"
        _fail(f"irsde: {error.filename}: {text}")
        sys.exit(INPUT_EXIT_CODE)
    except StoppedError as error:
        _fail(f"irsde: {error}")
        sys.exit(STOPPED_EXIT_CODE)
    except typer.Abort:
        sys.exit(130)
    sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
