"""`rvpo-verl doctor`: could this environment train with RVPO?"""

import typer
from rich.console import Console
from rich.markup import escape

from rvpo_verl.cli.console import new_table, print_error, print_tables, print_warning

COLORS = {"attached": "green", "loads": "green", "failed": "red", "fails": "red", "cannot be imported": "red"}


def doctor() -> None:
    """Check versions, how the plugin is loaded, what it attached to, and every reward."""
    from rvpo_verl.attach.doctor import examine

    report = examine()
    versions = new_table("package", "version", title="Versions")
    for package, version in report.versions.items():
        versions.add_row(package, version or "[dim]not installed[/dim]")
    tables = [versions]
    if report.loading:
        loading = new_table("way", "state", title="How verl loads the plugin")
        for way, state in report.loading.items():
            loading.add_row(way, escape(state))
        tables.append(loading)
    if report.attachments:
        attachments = new_table("module", "state", "what", title="Attached to verl")
        for attachment in report.attachments:
            attachments.add_row(attachment.module, _colored(attachment.state), escape(attachment.detail))
        tables.append(attachments)
    rewards = new_table("reward", "from", "state", title="Rewards")
    for reward, error in report.rewards:
        state = _colored("loads") if error is None else f"{_colored('fails')} {escape(error)}"
        rewards.add_row(reward.name, escape(f"{reward.distribution}, {reward.target}"), state)
    print_tables(*tables, rewards)

    for warning in report.warnings:
        print_warning(warning)
    for problem in report.problems:
        print_error(problem)
    if report.problems:
        raise typer.Exit(1)
    Console().print("[green]Training with rvpo can work here.[/green]")


def _colored(state: str) -> str:
    color = COLORS.get(state, "dim")
    return f"[{color}]{state}[/{color}]"
