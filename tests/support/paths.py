"""Where the tests find the repository, and data that some machines have."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED_DATA = Path(os.environ.get("RVPO_TEST_DATA", ROOT.parent / "shared/data"))
"""RLLA, HealthBench, IFEval and IFBench; tests that need them are skipped where they are not."""
