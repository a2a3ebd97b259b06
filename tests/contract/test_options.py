"""docs/verl-options.md has every option of the groups of verl that it goes through."""

import re
from collections.abc import Mapping

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from packaging.version import Version

from rvpo_verl.attach.hooks import verl_version
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "verl-options.md").read_text()

pytestmark = pytest.mark.skipif(Version(verl_version()) < Version("0.9"), reason="the page is of verl 0.9")


def options(values, path=""):
    """Paths of the values of a group, without Hydra's own keys."""
    for key, value in values.items():
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, Mapping) and value:
            yield from options(value, here)
        elif key != "_target_":
            yield here


@pytest.mark.parametrize("group", ["algorithm", "reward", "trainer"])
def test_every_option_of_verl_is_on_the_page(group):
    with initialize_config_module("verl.trainer.config", version_base=None):
        values = OmegaConf.to_container(compose("ppo_trainer")[group])
    section = PAGE.split(f"\n## {group}\n")[1].split("\n## ")[0]
    named = [
        re.compile(re.escape(name).replace(r"\*", r".*"))
        for row in section.splitlines()
        for name in re.findall(r"`([^`]+)`", row.split("|")[1] if row.startswith("|") else "")
    ]
    missing = [option for option in options(values) if not any(name.fullmatch(option) for name in named)]
    assert not missing
    assert len(list(options(values))) > 10
