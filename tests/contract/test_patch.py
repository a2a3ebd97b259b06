"""The patch for the installed verl fits its files; what a patched verl does, the other tests show."""

import subprocess
from pathlib import Path

import pytest
import verl

from rvpo_verl.attach.hooks import verl_version
from tests.support.paths import ROOT

PATCHES = ROOT / "patches"
TREE = Path(verl.__file__).parents[1]


def try_to_apply(*options):
    patch = PATCHES / f"verl-{verl_version()}.patch"
    if not patch.exists():
        pytest.skip(f"no patch for verl {verl_version()}")
    command = ["patch", "--dry-run", "--force", "--strip=1", f"--directory={TREE}", *options]
    return subprocess.run(command, stdin=patch.open(), capture_output=True, text=True)


def test_the_patch_applies_without_fuzz_or_has_been_applied():
    forward, backward = try_to_apply("--fuzz=0"), try_to_apply("--reverse", "--fuzz=0")
    assert (forward.returncode == 0) != (backward.returncode == 0), forward.stdout + backward.stdout


def test_there_is_a_patch_for_every_version_of_the_table():
    assert sorted(path.stem for path in PATCHES.glob("*.patch")) == ["verl-0.7.1", "verl-0.8.0", "verl-0.9.1"]
