"""Evaluates checkpoints with inspect-evals, and compares the logs.

Modules that run beside inspect import neither torch nor verl, because the environment of `scripts/eval.sh` has neither.
"""
