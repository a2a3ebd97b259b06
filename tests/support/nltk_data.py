"""The mark of tests that use the checkers of instructions, which need nltk's data."""

from importlib.util import find_spec

import pytest

from rvpo_verl.rewards.instructions import resources

needs_nltk_data = pytest.mark.skipif(
    not (find_spec("if_verifiable") and resources.is_there("tokenizers/punkt_tab")),
    reason="if-verifiable (Python 3.11) or nltk's data punkt_tab is not there",
)
