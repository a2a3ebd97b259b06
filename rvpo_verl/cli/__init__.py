"""The command line, `rvpo-verl`."""

import contextlib
import inspect
import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from rvpo_verl.cli.data import app as data
from rvpo_verl.cli.judge import app as judge


class _Group(TyperGroup):
    """What a user got wrong is one message and exit code 2, no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:  # also ConfigError
            _complain(str(error))
            raise typer.Exit(2) from None


class Mode(str, Enum):
    strict = "strict"
    robust = "robust"


class Estimator(str, Enum):
    rvpo = "rvpo"
    gdpo = "gdpo"
    grpo = "grpo"


class Aggregation(str, Enum):
    softmin = "softmin"
    mean = "mean"
    min = "min"
    variance = "variance"


DataFile = Annotated[Path, typer.Option("--data", exists=True, dir_okay=False, help="JSONL or parquet.")]

app = typer.Typer(cls=_Group, no_args_is_help=True, add_completion=False, help="RVPO for verl.")
rewards = typer.Typer(invoke_without_command=True, help="Installed rewards, and scoring with them.")
app.add_typer(rewards, name="rewards")
app.add_typer(data, name="data")
app.add_typer(judge, name="judge")


@app.command()
def doctor() -> None:
    """Check versions, how the plugin is loaded, what it attached to, and every reward."""
    from rvpo_verl.attach.doctor import examine

    findings = examine(Console())
    for warning in findings.warnings:
        _warn(warning)
    for problem in findings.problems:
        _complain(problem)
    if findings.problems:
        raise typer.Exit(1)
    Console().print("[green]Training with rvpo can work here.[/green]")


@rewards.callback()
def _rewards(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_rewards()


@rewards.command("list")
def list_rewards() -> None:
    """List the rewards that are installed, with origin and arguments."""
    from rvpo_verl.rewards.call import ARGUMENTS
    from rvpo_verl.rewards.registry import available, resolve

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("reward", no_wrap=True)
    for column in ("from", "arguments", "what"):
        table.add_column(column, overflow="fold")
    for reward in available():
        origin = f"{reward.distribution}, {reward.target}"
        try:
            function = resolve(reward.name).function
            arguments = _arguments(inspect.signature(function))
            what = (inspect.getdoc(function) or "").split("\n", 1)[0]
        except ValueError as error:
            arguments, what = "", f"cannot be used: {error}"
        table.add_row(*map(escape, (reward.name, origin, arguments, what)))
    Console().print(table)
    Console(soft_wrap=True, highlight=False).print(
        f"Arguments that a reward may name: {', '.join(ARGUMENTS)}; any other comes from its kwargs."
    )


@rewards.command()
def score(
    name: Annotated[
        str, typer.Argument(help="Entry point, package.module:function or path/to/file.py:function.")
    ],
    data: DataFile,
    mode: Annotated[Mode | None, typer.Option(help="The reward's `mode`.")] = None,
    kwargs: Annotated[
        str, typer.Option(help="More keyword arguments of the reward, as a JSON object.")
    ] = "{}",
) -> None:
    """Score the rows of a file; one JSON object a line, null where the reward does not apply or failed.

    Columns: response, ground_truth and optionally data_source, extra_info, messages.
    """
    from rvpo_verl.config import RewardsConfig, RewardSpec
    from rvpo_verl.rewards.call import Scorer
    from rvpo_verl.rewards.files import ABSENT, score_file

    try:
        arguments = json.loads(kwargs)
    except ValueError as error:
        raise ValueError(f"--kwargs {kwargs!r} is not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"--kwargs {kwargs!r}: expected a JSON object, {{NAME: VALUE}}")
    if mode is not None:
        arguments["mode"] = mode.value

    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # a reward may print, and so may what it imports
        # Not validated as a whole: a name that verl gives a meaning of its own does no harm here.
        spec = RewardSpec(function=name, kwargs=arguments)
        config = RewardsConfig.model_construct(rewards={name.rpartition(":")[2]: spec})
        for row, vector in enumerate(score_file(Scorer(config, without=ABSENT), data), start=1):
            out.write(json.dumps(vector.scores) + "\n")
            for reward, cause in vector.failures.items():
                sys.stderr.write(f"response {row}: {reward} failed: {cause}\n")
    out.flush()


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Parquet in RLLA's schema, not generated tasks."),
    ] = None,
    estimator: Annotated[Estimator, typer.Option(help="Advantage estimator.")] = Estimator.rvpo,
    aggregation: Annotated[Aggregation | None, typer.Option(help="Of rvpo; softmin if not given.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 20,
    seed: Annotated[int, typer.Option(help="Of data, policy and sampling.")] = 0,
    ranks: Annotated[int, typer.Option(min=1, help="Processes that train.")] = 1,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for logs, plot and checkpoint.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="File for the figures.")
    ] = None,
) -> None:
    """Train a tiny tool-calling policy on this machine's CPU, through verl's own launcher."""
    import transformers

    from rvpo_verl.cli.demo_view import DemoProgress, print_result
    from rvpo_verl.cpu.demo import LauncherError, run_demo
    from rvpo_verl.report.plot import plot as draw

    transformers.logging.disable_progress_bar()  # one bar at a time
    console = Console(highlight=False, soft_wrap=True)
    try:
        with DemoProgress(console) as shown:
            result = run_demo(
                estimator=estimator.value,
                aggregation=aggregation and aggregation.value,
                steps=steps,
                seed=seed,
                ranks=ranks,
                data=data,
                out=out,
                message=shown.message,
                progress=shown.progress,
            )
    except LauncherError as error:
        _complain(str(error))
        raise typer.Exit(1) from None
    picture = result.metrics.with_name("rewards.png")
    draw([result.metrics], picture)
    print_result(console, result, picture)
    if json_file is not None:
        json_file.write_text(json.dumps(result.figures(), indent=2) + "\n")


@app.command()
def plot(
    logs: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="JSONL files of verl's file logger, one a run."),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="PNG to write.")],
) -> None:
    """Draw the rewards and k of one or more runs."""
    from rvpo_verl.report.plot import plot as draw

    try:
        draw(logs, out)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ValueError('plotting needs matplotlib: pip install "rvpo-verl[plot]"') from None


@app.command()
def best(
    logs: Annotated[
        list[Path],
        typer.Argument(
            exists=True, dir_okay=False, help="JSONL files of verl's file logger, of one run, oldest first."
        ),
    ],
    checkpoints: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Only steps with a global_step_N in this folder."),
    ] = None,
    link: Annotated[
        bool, typer.Option(help="Link best_by_sum and best_by_lowest to them, in that folder.")
    ] = False,
) -> None:
    """Name the best step of a run by the sum of its rewards and by its lowest reward."""
    from rvpo_verl.report import best as choice

    if link and checkpoints is None:
        raise ValueError("--link needs --checkpoints FOLDER, which holds what to link to")
    there = None if checkpoints is None else choice.checkpoints(checkpoints)
    found = choice.best_step(logs, there)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("best by", "step", "sum", "lowest of its range", "rewards"):
        table.add_column(column, overflow="fold")
    for criterion, candidate in (("sum", found.by_sum), ("lowest", found.by_lowest)):
        lowest = f"{candidate.lowest:.2f} {candidate.lowest_name}"
        rewards = ", ".join(f"{name} {value:.3f}" for name, value in candidate.rewards.items())
        table.add_row(criterion, str(candidate.step), f"{candidate.sum:.3f}", escape(lowest), escape(rewards))
        if link:
            choice.link(there[candidate.step], f"best_by_{criterion}")
    Console().print(table)


@app.command()
def compare(
    logs: Annotated[
        list[Path],
        typer.Argument(exists=True, help="Logs of inspect, or folders of them; the first is compared with."),
    ],
    out: Annotated[
        list[Path] | None, typer.Option(dir_okay=False, help="File to write, .md or .png; may be repeated.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Compare checkpoints by their logs of scripts/eval.sh: paired bootstrap, overall and by axis."""
    for file in out or ():
        if file.suffix not in (".md", ".png"):
            raise ValueError(f"--out {file}: expected a file that ends in .md or .png")
    try:
        from rvpo_verl.evaluation import comparison, table

        compared = comparison.compare_logs(logs, resamples=resamples, seed=seed)
        for one in compared:
            table.show(one, Console())
            for warning in one.warnings:
                _warn(f"{one.task}: {warning}")
        for file in out or ():
            if file.suffix == ".md":
                file.write_text(table.as_markdown(compared), encoding="utf-8")
            else:
                from rvpo_verl.evaluation.figure import draw

                draw(compared, file)
    except ModuleNotFoundError as error:
        if error.name not in ("inspect_ai", "matplotlib"):
            raise
        raise ValueError(
            f'comparing needs {error.name}: pip install "rvpo-verl[eval]" (Python 3.11 or 3.12), or use '
            ".venv-eval/bin/rvpo-verl of scripts/eval.sh"
        ) from None


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def plan(
    context: typer.Context,
    main: Annotated[str, typer.Option(help="Launcher of verl.")] = "verl.trainer.main_ppo",
    gpu_memory: Annotated[
        float, typer.Option(envvar="GPU_MEMORY_GB", min=1, help="Memory of one GPU in GB.")
    ] = 80,
    data: Annotated[bool, typer.Option(help="Look into the data files.")] = True,
) -> None:
    """Check a launch of verl without a GPU, and print what it would do: rvpo-verl plan [HYDRA OVERRIDES]..."""
    from rvpo_verl.plan.report import plan as print_plan

    for warning in print_plan(Console(), main, context.args, gpu_memory, data):
        _warn(warning)


def _arguments(signature: inspect.Signature) -> str:
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))[1:-1]


def _warn(message: str) -> None:
    Console(stderr=True).print(f"[yellow]Warning:[/yellow] {escape(message)}", soft_wrap=True)


def _complain(message: str) -> None:
    Console(stderr=True).print(escape(message), style="red", soft_wrap=True, highlight=False)
