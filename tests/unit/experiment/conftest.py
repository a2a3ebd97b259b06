import sys

import pytest
import torch

from tests.support.paths import ROOT

# What `python scripts/experiment.py` has at the head of its path.
sys.path.insert(0, str(ROOT / "scripts"))


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """One thread, as in the experiment: with more, its small operations mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
