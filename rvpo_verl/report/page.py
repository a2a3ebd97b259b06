"""The page: one HTML file that loads nothing and runs only the scripts it was written with."""

import base64
import hashlib
from importlib.resources import files

import jinja2
from markupsafe import Markup

from rvpo_verl.report.content import Content
from rvpo_verl.report.texts import pack

STYLES = ("uplot/uPlot.min.css", "style.css")
SCRIPTS = (
    "uplot/uPlot.iife.min.js", "formula.js", "dom.js", "data.js", "charts.js", "run.js", "conflicts.js", "answer.js",
    "group.js", "timeline.js", "app.js",
)  # fmt: skip


def render(content: Content, title: str, reload_seconds: int | None = None) -> str:
    """
    Args:
        reload_seconds: for the page of a run that goes on; None for one that stays as it is.
    """
    style, script = (_asset(*names) for names in (STYLES, SCRIPTS))
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    template = jinja2.Template(_asset("page.html.j2"), autoescape=True, undefined=jinja2.StrictUndefined)
    page: str = template.render(
        title=title,
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        index=pack(content.index),
        parts=content.parts,
        reload_seconds=reload_seconds,
    )
    return page


def _asset(*names: str) -> str:
    folder = files("rvpo_verl.report") / "assets"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
