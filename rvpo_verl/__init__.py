"""RVPO, Reward-Variance Policy Optimization (arXiv:2605.05750), as a plugin for verl.

Importing this package attaches it to verl. verl imports it by itself, through the `verl.plugins` entry
point (0.9 and later) or `VERL_USE_EXTERNAL_MODULES=rvpo_verl` (any version); nothing of a trainer is
imported until verl imports it. Without verl installed, the mathematics can still be used.
"""

import importlib.util

if importlib.util.find_spec("verl") is not None:
    # verl first: importing it may import this package, and everything below needs it whole.
    import verl  # noqa: F401

    from rvpo_verl.attach import attach_loudly

    attach_loudly()
