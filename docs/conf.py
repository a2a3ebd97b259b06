"""The documentation site: `sphinx-build -W -b html docs OUT`."""

import re
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

# Sphinx before 9 adds annotations to pydantic's base class with which no further class can be made: these are made now.
import rvpo_verl.data.rows  # noqa: F401
from rvpo_verl import metrics

project = "rvpo-verl"
author = "The rvpo-verl authors"
version = release = installed_version("rvpo-verl").partition("+")[0]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"rvpo-verl {release}"
exclude_patterns = ["data"]
# Pages link to files of the repository, which are no pages of the site.
suppress_warnings = ["myst.xref_missing"]
autodoc_member_order = "bysource"


_read: dict[str, list[str]] = {}


def _before_napoleon(app, what, name, obj, options, lines):
    """Docstrings mark code as Markdown does, by single backticks. Of a module the first line is enough."""
    lines[:] = [re.sub(r"(?<![`:])`([^`]+)`(?!`)", r"``\1``", line) for line in lines]
    if what == "module":
        del lines[1:]
    _read[name] = list(lines)


def _after_napoleon(app, what, name, obj, options, lines):
    """In the docstring of an attribute napoleon takes what stands before a colon for its type."""
    if what in ("attribute", "data", "property"):
        lines[:] = _read[name]


def _command_line(app):
    """The page of the command line, from its own help."""
    command = [sys.executable, "-m", "typer", "rvpo_verl.cli", "utils", "docs", "--name", "rvpo-verl"]
    _write(
        app, "cli.md", subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout
    )


def _metrics(app):
    """The page of the metrics, from their table."""
    rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in metrics.METRICS.items())
    _write(app, "metrics.md", f"# Metrics\n\n{metrics.__doc__}\n| metric | |\n|---|---|\n{rows}")


def _write(app, name, text):
    page = Path(app.srcdir) / "reference" / name
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


def setup(app):
    app.connect("autodoc-process-docstring", _before_napoleon, priority=100)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=900)
    app.connect("builder-inited", _command_line)
    app.connect("builder-inited", _metrics)
