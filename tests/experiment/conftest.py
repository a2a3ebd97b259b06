import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """As the experiment runs: its small operations only wait for each other on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
