"""The data files of a configuration, as verl finds them, and whether the rewards apply to their rows."""

from collections import Counter
from glob import glob
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.attach.verl_config import rewards_config
from rvpo_verl.errors import ConfigError
from rvpo_verl.files import read_rows


def local_files(value: Any) -> tuple[list[Path], list[str]]:
    """
    Args:
        value: `data.train_files` or `data.val_files`: a path or pattern, a list of them, or None.

    Returns:
        The files that can be read here, and the addresses that cannot, with the reason.
    """
    files: list[Path] = []
    absent: list[str] = []
    for address in [] if value is None else [value] if isinstance(value, str) else list(value):
        if "://" in address:
            absent.append(f"{address}: not on this machine")
            continue
        pattern = str(Path(address).expanduser())
        found = sorted(glob(pattern)) or ([pattern] if Path(pattern).exists() else [])
        files += map(Path, found)
        if not found:
            absent.append(f"{address}: there is no such file")
    return files, absent


def check_data_sources(config: DictConfig) -> list[str]:
    """Compares the `data_sources` of the rewards with those of the training files, if all of these can be read here.

    Returns:
        Warnings.

    Raises:
        ConfigError: a reward applies to no row.
    """
    rewards = rewards_config(config)
    specs = rewards.rewards if rewards else {}
    limited = {name: spec.data_sources for name, spec in specs.items() if spec.data_sources is not None}
    if not limited:
        return []
    files, absent = local_files(OmegaConf.select(config, "data.train_files"))
    if absent or not files:
        return []
    rows = Counter(
        str(row.get("data_source")) for file in files for _, row in read_rows(file, ["data_source"])
    )
    found = ", ".join(f"{source} ({count:,})" for source, count in rows.most_common(10))
    complaints = [
        f"reward.rvpo.rewards.{name}.data_sources={sources}: no row of data.train_files has one of these; there are "
        f"{found}"
        for name, sources in limited.items()
        if not rows.keys() & set(sources)
    ]
    if complaints:
        raise ConfigError("\n".join(complaints))
    if len(limited) < len(specs):
        return []
    lost = {
        source: count
        for source, count in rows.items()
        if not any(source in all_ for all_ in limited.values())
    }
    return [
        f"no reward applies to the rows of data source {source} ({count:,} of {rows.total():,}): they teach nothing"
        for source, count in lost.items()
    ]
