"""`rvpo-verl judge`: does a judge answer, and does it agree with people?"""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.cli.options import AsJson, parse_json_object

if TYPE_CHECKING:
    from rvpo_verl.judge.agreement import Agreement
    from rvpo_verl.judge.check import EndpointCheck, Run
    from rvpo_verl.judge.config import JudgeConfig

FORMS = {
    "schema": "a JSON schema",
    "object": "a JSON object, with a schema beside it",
    "json": "any JSON object; the prompt says which",
    "text": "text; the prompt says in which form",
}

app = typer.Typer(no_args_is_help=True, help="The language model that judges rubrics.")

BaseUrl = Annotated[str, typer.Option("--base-url", help="OpenAI-compatible API, http://HOST:PORT/v1.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="Default: the only model that the server lists.")
]
KeyVariable = Annotated[str | None, typer.Option("--api-key-env", help="Environment variable with the key.")]
MoreSettings = Annotated[
    str, typer.Option("--settings", help="More settings of the judge, as a JSON object (docs/rubrics.md).")
]


@app.command("check")
def judge_check(
    base_url: BaseUrl,
    model: ModelName = None,
    api_key_env: KeyVariable = None,
    settings: MoreSettings = "{}",
    prompts: Annotated[int, typer.Option(min=1, help="Per training step.")] = 96,
    rollouts: Annotated[int, typer.Option(min=1, help="Per prompt.")] = 16,
    criteria: Annotated[float, typer.Option(min=1, help="Per prompt, on average.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Of the training.")] = 300,
    answer_chars: Annotated[int, typer.Option(min=1, help="Of a response.")] = 4000,
    price_in: Annotated[float | None, typer.Option(help="Of a million tokens read.")] = None,
    price_out: Annotated[float | None, typer.Option(help="Of a million tokens written.")] = None,
    responses: Annotated[int, typer.Option(min=1, help="Responses to measure the rate with.")] = 32,
    json_out: AsJson = False,
) -> None:
    """Does the judge answer, in the right form, how fast, and what would a training cost?"""
    from rvpo_verl.judge import check

    config = _judge_config(base_url, model, api_key_env, settings)
    run = check.Run(prompts, rollouts, criteria, steps, answer_chars, price_in, price_out)
    checks = asyncio.run(check.check(config, run, responses=responses))
    if json_out:
        print(json.dumps([asdict(one) | {"usable": one.usable} for one in checks], indent=2))
    else:
        for one in checks:
            Console().print(_check_table(one, run, config))
    if not all(one.usable for one in checks):
        raise typer.Exit(1)


@app.command("agreement")
def judge_agreement(
    labels: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="JSONL or parquet: response, criterion, label; optional: messages, category, levels.",
        ),
    ],
    base_url: BaseUrl,
    model: ModelName = None,
    api_key_env: KeyVariable = None,
    settings: MoreSettings = "{}",
    json_out: AsJson = False,
) -> None:
    """Does the judge agree with labels by people, and with itself (`--settings '{"votes": 5, ...}'`)?"""
    from rvpo_verl.judge import agreement

    rows = agreement.read_labels(labels)
    config = _judge_config(base_url, model, api_key_env, settings)
    agreements = asyncio.run(agreement.agreement(config, rows))
    if json_out:
        print(json.dumps({category: asdict(one) for category, one in agreements.items()}, indent=2))
    else:
        Console().print(_agreement_table(agreements))


def _judge_config(base_url: str, model: str | None, api_key_env: str | None, settings: str) -> "JudgeConfig":
    from rvpo_verl.judge.config import JudgeConfig
    from rvpo_verl.schema import parse

    more = parse_json_object("--settings", settings)
    endpoint = {"base_url": base_url, "model": model, "api_key_env": api_key_env}
    return parse(JudgeConfig, {"endpoints": [endpoint], **more}, "--settings")


def _check_table(check: "EndpointCheck", run: "Run", config: "JudgeConfig") -> Table:
    from rvpo_verl.judge.check import PLAIN_STATEMENTS

    table = Table(title=escape(check.endpoint), title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_row("gives verdicts", "[green]yes[/green]" if check.usable else "[red]no[/red]")
    for failure, count in check.failures.items():
        table.add_row(f"failed {count} times", f"[red]{escape(failure)}[/red]")
    if check.form is not None:
        table.add_row("verdicts are requested as", FORMS[check.form])
    if check.usable:
        table.add_row("correct on plain statements", f"{check.correct} of {len(PLAIN_STATEMENTS)}")
        table.add_row("latency of a single call", f"{check.latency:.2f} s (median)")
        table.add_row(f"verdicts per second, {config.limit} in flight", f"{check.verdicts_per_second:.1f}")
        table.add_row("tokens per call", f"{check.tokens_in:.0f} read, {check.tokens_out:.0f} written")
        size = f"{run.prompts} x {run.rollouts} x {run.criteria:g}"
        table.add_row(f"a step of {size} verdicts", f"{check.seconds_per_step:.0f} s")
        if check.cost is not None:
            table.add_row(f"{run.steps} steps", f"{check.cost:,.2f}, in the currency of the prices")
    return table


def _agreement_table(agreements: dict[str, "Agreement"]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("category")
    for column in ("verdicts", "missing", "accuracy", "macro F1", "self-agreement"):
        table.add_column(column, justify="right")
    for category, one in agreements.items():
        shares = (one.accuracy, one.macro_f1, one.self_agreement)
        cells = ("" if share is None else f"{share:.3f}" for share in shares)
        table.add_row(escape(category), str(one.verdicts), str(one.missing), *cells)
    return table
