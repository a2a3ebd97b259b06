"""Could this environment train with RVPO? Everything is imported, so that a broken installation shows."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import warnings
from dataclasses import dataclass, field

from packaging.version import Version

from rvpo_verl import attach
from rvpo_verl.attach.hooks import SUPPORTED
from rvpo_verl.rewards import registry
from rvpo_verl.rewards.registry import InstalledReward

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
"""Modules that some trainings do not need."""


@dataclass(frozen=True)
class Attached:
    module: str
    """Of verl."""
    state: str
    """waiting, attached, failed, cannot be imported, or not in this version."""
    detail: str


@dataclass
class Report:
    versions: dict[str, str | None] = field(default_factory=dict)
    """Of Python and the packages that matter; None where one is not installed."""
    loading: dict[str, str] = field(default_factory=dict)
    """State of each way in which verl loads the plugin; empty without verl."""
    attachments: list[Attached] = field(default_factory=list)
    rewards: list[tuple[InstalledReward, str | None]] = field(default_factory=list)
    """Each installed reward, and why it does not load."""
    problems: list[str] = field(default_factory=list)
    """Why training cannot work, and what to do about it."""
    warnings: list[str] = field(default_factory=list)
    """What does not work, though training can."""


def examine() -> Report:
    report = Report(versions={"python": platform.python_version()})
    report.versions |= {name: version(name) for name in DISTRIBUTIONS}
    if importlib.util.find_spec("verl") is None:
        report.problems.append(f'verl is not installed: pip install "verl{SUPPORTED}"')
    else:
        _examine_loading(report)
        _examine_attachments(report)
    for reward in registry.available():
        try:
            registry.resolve(reward.name)
            report.rewards.append((reward, None))
        except Exception as error:
            report.rewards.append((reward, str(error)))
            report.warnings.append(f"reward {reward.name!r} of {reward.distribution} cannot be used")
    return report


def version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _examine_loading(report: Report) -> None:
    modules = os.environ.get("VERL_USE_EXTERNAL_MODULES", "")
    plugins = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    entry_points = importlib.metadata.entry_points(group="verl.plugins")
    points = [point for point in entry_points if point.value == "rvpo_verl"]
    reads_entry_points = Version(version("verl") or "0") >= Version("0.9.0.dev0")

    names = {name.strip() for name in plugins.split(",")}
    allowed = plugins.strip().lower() == "auto" or any(point.name in names for point in points)
    by_entry_point = bool(points) and reads_entry_points and allowed
    by_variable = "rvpo_verl" in [name.strip() for name in modules.split(",")]

    state = "used" if by_entry_point else "installed, not used" if points else "absent"
    report.loading = {
        "entry point verl.plugins": state + ("" if reads_entry_points else " (verl reads it from 0.9 on)"),
        "VERL_USE_EXTERNAL_PLUGINS": plugins,
        "VERL_USE_EXTERNAL_MODULES": modules or "not set",
    }
    if not (by_entry_point or by_variable):
        report.problems.append(
            "verl would train without the plugin: export VERL_USE_EXTERNAL_MODULES=rvpo_verl, on every node"
        )


def _examine_attachments(report: Report) -> None:
    errors: dict[str, Exception] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # verl warns of every backend that is not installed
        for module in dict.fromkeys(attachment.seam for attachment in attach.report()):
            try:
                importlib.import_module(module)
            except Exception as error:
                errors[module] = error

    for attachment in attach.report():
        module, state, detail = attachment.seam, attachment.state, attachment.detail
        failure = errors.get(module)
        if state == "failed":
            report.problems.append(f"attaching to {module} failed: {detail}")
        elif failure is not None and not _exists(module):
            state, detail = "not in this version", ""
        elif failure is not None:
            state, detail = "cannot be imported", f"{type(failure).__name__}: {failure}"
            if module not in OPTIONAL:
                report.problems.append(f"{module} cannot be imported: {detail}; fix the installation of verl")
        report.attachments.append(Attached(module, state, detail))
    _examine_trainers(errors, report)


def _examine_trainers(errors: dict[str, Exception], report: Report) -> None:
    broken = [module for module in (V0, V1) if module in errors and _exists(module)]
    if V0 in errors and V1 in errors:
        causes = "; ".join(f"{module}: {errors[module]}" for module in broken or (V0,))
        report.problems.append(f"no trainer of verl can be imported ({causes}); fix the installation of verl")
    elif _exists(V1) and version("TransferQueue") is None:
        report.warnings.append(
            "verl's V1 trainer, its default, cannot run without TransferQueue: "
            'pip install "rvpo-verl[transfer-queue]", or train with trainer.use_v1=False'
        )
    elif V1 in broken:
        report.warnings.append(
            f"verl's V1 trainer, its default, cannot be imported ({errors[V1]}): train with trainer.use_v1=False"
        )


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:  # a parent package is absent, or a package that it needs
        return not module.startswith(error.name or module)
