"""`python -m rvpo_verl`: the command line where the console script is not on the path."""

from rvpo_verl.cli import app

app(prog_name="rvpo-verl")
