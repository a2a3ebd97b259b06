"""The command line, `rvpo-verl`: a file for each command or group of commands, assembled here.

Only this package prints and exits. It imports neither torch nor verl until a command needs them.
"""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from rvpo_verl.cli import best, compare, data, demo, doctor, judge, launch_cpu, plan, plot, report, rewards
from rvpo_verl.cli.console import print_error
from rvpo_verl.errors import UserError


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Prints a `UserError` as one message and exits with status 2. Any other error is a bug: a traceback."""
        # `python -m verl...` finds a module in the current directory, and so do Ray's workers.
        sys.path.append(os.getcwd())
        try:
            return super().invoke(ctx)
        except UserError as error:
            print_error(str(error))
            raise typer.Exit(2) from None


app = typer.Typer(cls=_Group, no_args_is_help=True, add_completion=False, help="RVPO for verl.")
for command in (doctor.doctor, demo.demo, report.report, plot.plot, best.best, compare.compare):
    app.command()(command)
app.command(context_settings=plan.CONTEXT_SETTINGS)(plan.plan)
app.command(context_settings=launch_cpu.CONTEXT_SETTINGS)(launch_cpu.launch_cpu)
app.add_typer(rewards.app, name="rewards")
app.add_typer(data.app, name="data")
app.add_typer(judge.app, name="judge")
