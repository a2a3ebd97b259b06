"""Could this environment train with RVPO? Everything is really loaded, so that what is broken shows."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import warnings
from dataclasses import dataclass, field

from packaging.version import Version
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rvpo_verl.rewards import registry

DISTRIBUTIONS = (
    "rvpo-verl", "verl", "torch", "ray", "transformers", "TransferQueue", "vllm", "sglang", "flash-attn"
)  # fmt: skip
V0, V1 = "verl.trainer.ppo.ray_trainer", "verl.trainer.ppo.v1.trainer_base"
OPTIONAL = (
    V0,
    V1,
    "verl.trainer.ppo.v1.utils",
    "verl.trainer.main_ppo_sync",
    "verl.experimental.separation.ray_trainer",
    "verl.experimental.fully_async_policy.detach_utils",
)
"""Modules that some trainings do without."""


@dataclass
class Findings:
    problems: list[str] = field(default_factory=list)
    """Why training cannot work, and what to do about it."""
    warnings: list[str] = field(default_factory=list)
    """What does not work, though training can."""


def examine(console: Console) -> Findings:
    """Prints what there is."""
    findings = Findings()
    _versions(console)
    if importlib.util.find_spec("verl") is None:
        findings.problems.append('verl is not installed: pip install "verl>=0.7.1,<0.10"')
    else:
        _loading(console, findings)
        _attachments(console, findings)
    _rewards(console, findings)
    return findings


def _versions(console: Console) -> None:
    table = _table("Versions", "package", "version")
    table.add_row("python", platform.python_version())
    for name in DISTRIBUTIONS:
        table.add_row(name, version(name) or "[dim]not installed[/dim]")
    console.print(table)


def version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _loading(console: Console, findings: Findings) -> None:
    modules = os.environ.get("VERL_USE_EXTERNAL_MODULES", "")
    plugins = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    points = [
        point for point in importlib.metadata.entry_points(group="verl.plugins") if point.value == "rvpo_verl"
    ]
    reads_entry_points = Version(version("verl") or "0") >= Version("0.9.0.dev0")

    names = {name.strip() for name in plugins.split(",")}
    allowed = plugins.strip().lower() == "auto" or any(point.name in names for point in points)
    by_entry_point = bool(points) and reads_entry_points and allowed
    by_variable = "rvpo_verl" in [name.strip() for name in modules.split(",")]

    table = _table("How verl loads the plugin", "way", "state")
    state = "used" if by_entry_point else "there, not used" if points else "absent"
    reason = "" if reads_entry_points else " (verl reads it from 0.9 on)"
    table.add_row("entry point verl.plugins", f"{state}{reason}")
    table.add_row("VERL_USE_EXTERNAL_PLUGINS", escape(plugins))
    table.add_row("VERL_USE_EXTERNAL_MODULES", escape(modules) or "[dim]not set[/dim]")
    console.print(table)
    if not (by_entry_point or by_variable):
        findings.problems.append(
            "verl would train without the plugin: export VERL_USE_EXTERNAL_MODULES=rvpo_verl, on every node"
        )


def _attachments(console: Console, findings: Findings) -> None:
    from rvpo_verl import attach

    errors = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # verl warns of every backend that is not installed
        for module in dict.fromkeys(attachment.seam for attachment in attach.report()):
            try:
                importlib.import_module(module)
            except Exception as error:
                errors[module] = error

    table = _table("Attached to verl", "module", "state", "what")
    for attachment in attach.report():
        module, state, detail = attachment.seam, attachment.state, attachment.detail
        error = errors.get(module)
        if state == "failed":
            findings.problems.append(f"attaching to {module} failed: {detail}")
        elif error is not None and not _exists(module):
            state, detail = "not in this version", ""
        elif error is not None:
            state, detail = "cannot be imported", f"{type(error).__name__}: {error}"
            if module not in OPTIONAL:
                findings.problems.append(
                    f"{module} cannot be imported: {detail}; mend the installation of verl"
                )
        table.add_row(module, _coloured(state), escape(detail))
    console.print(table)
    _trainers(errors, findings)
    _registered(errors, findings)


def _trainers(errors: dict[str, Exception], findings: Findings) -> None:
    broken = [module for module in (V0, V1) if module in errors and _exists(module)]
    usable = [module for module in (V0, V1) if module not in errors]
    if not usable:
        causes = "; ".join(f"{module}: {errors[module]}" for module in broken or (V0,))
        findings.problems.append(
            f"no trainer of verl can be imported ({causes}); mend the installation of verl"
        )
    elif V1 in broken or (_exists(V1) and version("TransferQueue") is None):
        findings.warnings.append(
            "verl's V1 trainer, its default, cannot run without TransferQueue: "
            'pip install "rvpo-verl[v1]", or train with trainer.use_v1=False'
            if version("TransferQueue") is None
            else f"verl's V1 trainer, its default, cannot be imported ({errors[V1]}): train with trainer.use_v1=False"
        )


def _registered(errors: dict[str, Exception], findings: Findings) -> None:
    core, managers = "verl.trainer.ppo.core_algos", "verl.experimental.reward_loop.reward_manager"
    if core not in errors and "rvpo" not in sys.modules[core].ADV_ESTIMATOR_REGISTRY:
        findings.problems.append("verl does not know the advantage estimator 'rvpo': please report it")
    if managers not in errors and "rvpo" not in sys.modules[managers].registry.REWARD_MANAGER:
        findings.problems.append("verl does not know the reward manager 'rvpo': please report it")


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:  # a package on the way is absent, or one that it needs
        return not module.startswith(error.name or module)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=f"[bold]{title}[/bold]", title_justify="left", title_style="", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _coloured(state: str) -> str:
    colour = {"attached": "green", "failed": "red", "cannot be imported": "red"}.get(state, "dim")
    return f"[{colour}]{state}[/{colour}]"


def _rewards(console: Console, findings: Findings) -> None:
    table = _table("Rewards", "reward", "from", "state")
    for reward in registry.available():
        try:
            registry.resolve(reward.name)
            state = "[green]loads[/green]"
        except Exception as error:
            state = f"[red]fails[/red] {escape(str(error))}"
            findings.warnings.append(f"reward {reward.name!r} of {reward.distribution} cannot be used")
        table.add_row(reward.name, f"{reward.distribution}, {escape(reward.target)}", state)
    console.print(table)
