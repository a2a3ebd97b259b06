"""`rvpo-verl judge`: whether a judge answers, and whether it agrees with people."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="The language model that judges rubrics.")

BaseUrl = Annotated[str, typer.Option("--base-url", help="OpenAI-compatible API, http://HOST:PORT/v1.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="The only one that the server lists if not given.")
]
KeyVariable = Annotated[str | None, typer.Option("--api-key-env", help="Environment variable with the key.")]
MoreSettings = Annotated[
    str, typer.Option("--settings", help="More settings of the judge, as a JSON object (docs/rubrics.md).")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON in place of tables.")]


@app.command("check")
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


@app.command("agreement")
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
    from rvpo_verl.judge.config import JudgeConfig
    from rvpo_verl.schema import parse

    try:
        more = json.loads(settings)
    except ValueError as error:
        raise ValueError(f"--settings {settings!r} is not JSON: {error}") from None
    if not isinstance(more, dict):
        raise ValueError(f"--settings {settings!r}: expected a JSON object")
    endpoint = {"base_url": base_url, "model": model, "api_key_env": api_key_env}
    return parse(JudgeConfig, {"endpoints": [endpoint], **more}, "--settings")
