"""What `scripts/bench.py` measures: one file for each thing that has to be fast."""
