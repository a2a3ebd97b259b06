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

from rvpo_verl.data.commands import app as data


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
judge = typer.Typer(no_args_is_help=True, help="The language model that judges rubrics.")
app.add_typer(judge, name="judge")


@app.command()
def doctor() -> None:
    """Check versions, how the plugin is loaded, what it attached to, and every reward."""
    from rvpo_verl.doctor import examine

    findings = examine(Console())
    for warning in findings.warnings:
        Console(stderr=True).print(f"[yellow]Warning:[/yellow] {escape(warning)}", soft_wrap=True)
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
    from rvpo_verl.cpu.demo import LauncherError, run_demo

    try:
        run_demo(
            estimator=estimator.value,
            aggregation=aggregation and aggregation.value,
            steps=steps,
            seed=seed,
            ranks=ranks,
            data=data,
            out=out,
            json_path=json_file,
        )
    except LauncherError as error:
        _complain(str(error))
        raise typer.Exit(1) from None


@app.command()
def plot(
    logs: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="JSONL files of verl's file logger, one a run."),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="PNG to write.")],
) -> None:
    """Draw the rewards and k of one or more runs."""
    from rvpo_verl.plot import plot as draw

    try:
        draw(logs, out)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ValueError('plotting needs matplotlib: pip install "rvpo-verl[plot]"') from None


BaseUrl = Annotated[str, typer.Option("--base-url", help="OpenAI-compatible API, http://HOST:PORT/v1.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="The only one that the server lists if not given.")
]
KeyVariable = Annotated[str | None, typer.Option("--api-key-env", help="Environment variable with the key.")]
MoreSettings = Annotated[
    str, typer.Option("--settings", help="More settings of the judge, as a JSON object (docs/rubrics.md).")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON in place of tables.")]


@judge.command("check")
def judge_check(
    base_url: BaseUrl,
    model: ModelName = None,
    api_key_env: KeyVariable = None,
    settings: MoreSettings = "{}",
    prompts: Annotated[int, typer.Option(min=1, help="Of a training step.")] = 96,
    rollouts: Annotated[int, typer.Option(min=1, help="Of a prompt.")] = 16,
    criteria: Annotated[float, typer.Option(min=1, help="Of a prompt, on average.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Of the training.")] = 300,
    answer_chars: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 4000,
    price_in: Annotated[float | None, typer.Option(help="Of a million tokens read.")] = None,
    price_out: Annotated[float | None, typer.Option(help="Of a million tokens written.")] = None,
    responses: Annotated[int, typer.Option(min=1, help="To measure the rate with.")] = 32,
    json_out: AsJson = False,
) -> None:
    """Does the judge answer, in the right form, how fast, and what would a training cost?"""
    import asyncio

    from rvpo_verl.judge import check

    config = _judge_config(base_url, model, api_key_env, settings)
    run = check.Run(prompts, rollouts, criteria, steps, answer_chars, price_in, price_out)
    checked = asyncio.run(check.check(config, run, responses=responses))
    if json_out:
        print(json.dumps(check.as_json(checked), indent=2))
    else:
        check.show(checked, run, config, Console())
    if not all(one.usable for one in checked):
        raise typer.Exit(1)


@judge.command("agreement")
def judge_agreement(
    labels: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="JSONL: response, criterion, label; messages, category."
        ),
    ],
    base_url: BaseUrl,
    model: ModelName = None,
    api_key_env: KeyVariable = None,
    settings: MoreSettings = "{}",
    json_out: AsJson = False,
) -> None:
    """Does the judge agree with labels by people, and with itself (`--settings '{"votes": 5, ...}'`)?"""
    import asyncio

    from rvpo_verl.judge import agreement

    rows = agreement.read_labels(labels)
    config = _judge_config(base_url, model, api_key_env, settings)
    agreements = asyncio.run(agreement.agreement(config, rows))
    if json_out:
        print(json.dumps(agreement.as_json(agreements), indent=2))
    else:
        agreement.show(agreements, Console())


def _judge_config(base_url: str, model: str | None, api_key_env: str | None, settings: str) -> Any:
    from rvpo_verl.config import parse
    from rvpo_verl.judge.config import JudgeConfig

    try:
        more = json.loads(settings)
    except ValueError as error:
        raise ValueError(f"--settings {settings!r} is not JSON: {error}") from None
    if not isinstance(more, dict):
        raise ValueError(f"--settings {settings!r}: expected a JSON object")
    endpoint = {"base_url": base_url, "model": model, "api_key_env": api_key_env}
    return parse(JudgeConfig, {"endpoints": [endpoint], **more}, "--settings")


def _arguments(signature: inspect.Signature) -> str:
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))[1:-1]


def _complain(message: str) -> None:
    Console(stderr=True).print(escape(message), style="red", soft_wrap=True, highlight=False)
