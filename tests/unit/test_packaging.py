"""What pip reads of this package."""

from importlib.metadata import metadata

import pytest
from packaging.version import InvalidVersion, Version


@pytest.mark.parametrize("extra", metadata("rvpo-verl").get_all("Provides-Extra") or [])
def test_no_extra_reads_like_a_version(extra):
    """The pip that comes with Python 3.10 (23.0) compares the name of such an extra as a version, and fails."""
    with pytest.raises(InvalidVersion):
        Version(extra)
