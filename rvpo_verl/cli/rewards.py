"""`rvpo-verl rewards`: which rewards are installed, and scoring a file with one of them."""

import contextlib
import inspect
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rvpo_verl.cli.console import new_table, print_tables, print_text
from rvpo_verl.cli.options import Mode, parse_json_object
from rvpo_verl.errors import UserError

app = typer.Typer(invoke_without_command=True, help="Installed rewards, and scoring with them.")


@app.callback()
def rewards(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_rewards()


@app.command("list")
def list_rewards() -> None:
    """List the rewards that are installed, with origin and arguments."""
    from rvpo_verl.rewards.call import ARGUMENTS
    from rvpo_verl.rewards.registry import available, resolve

    table = new_table("reward", "from", "arguments", "what")
    table.columns[0].no_wrap = True
    for reward in available():
        origin = f"{reward.distribution}, {reward.target}"
        try:
            function = resolve(reward.name).function
            arguments = _arguments(inspect.signature(function))
            what = (inspect.getdoc(function) or "").split("\n", 1)[0]
        except UserError as error:
            arguments, what = "", f"cannot be used: {error}"
        table.add_row(*map(escape, (reward.name, origin, arguments, what)))
    print_tables(table)
    print_text(f"Arguments that a reward may name: {', '.join(ARGUMENTS)}; any other comes from its kwargs.")


@app.command()
def score(
    name: Annotated[
        str, typer.Argument(help="Entry point, package.module:function or path/to/file.py:function.")
    ],
    data: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="JSONL or parquet.")],
    mode: Annotated[Mode | None, typer.Option(help="The reward's `mode`.")] = None,
    kwargs: Annotated[
        str, typer.Option(help="More keyword arguments of the reward, as a JSON object.")
    ] = "{}",
) -> None:
    """Score the rows of a file; one JSON object a line, null where the reward does not apply or failed.

    Columns: response, ground_truth and optionally data_source, extra_info, messages, turns.
    """
    from rvpo_verl.config import RewardsConfig, RewardSpec
    from rvpo_verl.rewards.call import Scorer
    from rvpo_verl.rewards.files import ABSENT, score_file

    arguments = parse_json_object("--kwargs", kwargs) | ({"mode": mode.value} if mode else {})
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # the reward, and what it imports, may print
        # Not validated as a whole: a name that verl reserves in its batch does no harm here.
        spec = RewardSpec(function=name, kwargs=arguments)
        config = RewardsConfig.model_construct(rewards={name.rpartition(":")[2]: spec})
        for row, vector in enumerate(score_file(Scorer(config, without=ABSENT), data), start=1):
            out.write(json.dumps(vector.scores) + "\n")
            for reward, cause in vector.failures.items():
                sys.stderr.write(f"response {row}: {reward} failed: {cause}\n")
    out.flush()


def _arguments(signature: inspect.Signature) -> str:
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))[1:-1]
