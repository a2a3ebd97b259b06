"""Evaluation of checkpoints with inspect-evals, and the comparison of its logs.

What runs beside inspect imports neither torch nor verl: `scripts/eval.sh` has an environment without them.
"""
