"""RVPO, Reward-Variance Policy Optimization (arXiv:2605.05750), as a plugin for verl.

Importing this package registers import hooks, by which it attaches itself to verl's modules as they are imported,
and nothing else. verl imports it through the `verl.plugins` entry point (0.9 and later) or
`VERL_USE_EXTERNAL_MODULES=rvpo_verl` (any version). Without verl installed, `rvpo_verl.core` can still be used.
"""

import importlib.util

if importlib.util.find_spec("verl") is not None:
    from rvpo_verl.attach import register_hooks

    register_hooks()
