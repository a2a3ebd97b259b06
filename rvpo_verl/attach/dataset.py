"""The data of a configuration as verl's own dataset class reads them, without a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rvpo_verl.errors import UserError


class NeedsModelError(UserError):
    """Where verl trains, with a tokenizer, it may be possible."""


def open_dataset(data: DictConfig, key: str, files: Sequence[Path]) -> tuple[int, Any]:
    """
    Args:
        data: verl's `data` group.
        key: train_files or val_files, whose limit of samples holds.
        files: those of them that are here.

    Returns:
        The number of rows before overlong prompts are left out, which takes the tokenizer; and the rows as a
        `datasets.Dataset`, None if a dataset class of the user's own keeps them elsewhere.

    Raises:
        UserError: verl cannot read the files.
        NeedsModelError: a dataset class of the user's own cannot.
    """
    import datasets
    from verl.utils.dataset.rl_dataset import get_dataset_class

    datasets.disable_progress_bars()
    without_model = {"filter_overlong_prompts": False, "use_shm": False}
    name = OmegaConf.select(data, "custom_cls.name") if OmegaConf.select(data, "custom_cls.path") else None
    limit = data.get(f"{key.removesuffix('_files')}_max_samples", -1)
    try:
        dataset = get_dataset_class(data)(
            data_files=[str(file) for file in files],
            tokenizer=None,
            processor=None,
            config=OmegaConf.merge(data, without_model),
            max_samples=-1 if limit is None else limit,
        )
        table = getattr(dataset, "dataframe", None)
        return len(dataset), table if isinstance(table, datasets.Dataset) else None
    # Of verl, of datasets and its readers, or of a class of the user's own.
    except Exception as error:
        if name is not None:
            raise NeedsModelError(
                f"the dataset class {name} cannot be opened without a model: {_said(error)}"
            ) from error
        raise UserError(f"verl cannot read {', '.join(map(str, files))}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0][:200]}"
