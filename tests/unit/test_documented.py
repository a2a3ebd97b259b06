"""What the documentation says holds: commands, links, options, and the table of invariants.

A block of commands is preceded by one comment, which says how it is tested:

    <!-- run -->                        here, as it stands, beside the files that its page shows
    <!-- tested: FILE ... -->           by these tests or scripts
    <!-- not run: REASON -->            nowhere, because of what it needs
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from pydantic import BaseModel

from rvpo_verl.attach.compose import compose_config
from rvpo_verl.cli import app
from rvpo_verl.config import AdvantageConfig, RewardsConfig, RewardSpec, ScheduleConfig
from rvpo_verl.judge.config import JudgeConfig
from tests.support.paths import ROOT

GENERATED = {ROOT / "docs/reference" / page for page in ("cli.md", "metrics.md")}
"""Made by the build of the site."""
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "recipes").rglob("*.md"),
                 ROOT / "patches/README.md", ROOT / "scripts/bench.md"]
    if page.name != "CHANGELOG.md" and page not in GENERATED
)  # fmt: skip
COMMENT = re.compile(r"<!-- (run|tested|not run)(?:: (.+))? -->")
RESPONSES = '{"response": "See RFC 9110.", "ground_truth": null, "extra_info": {"source": "RFC 9110"}}\n'


def name(value):
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


def blocks(page, *languages):
    """(line number, the line before, text) of the fenced blocks in these languages."""
    lines = page.read_text().splitlines()
    start = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
        else:
            if lines[start][3:] in languages:
                yield start + 1, lines[start - 1], "\n".join(lines[start + 1 : number])
            start = None


def commands(text):
    """The commands of a block, each as its words."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def write_files(page, folder):
    """The files that a page shows: blocks whose first line is a comment with a path."""
    for _, _, text in blocks(page, "python", "yaml"):
        first, _, rest = text.partition("\n")
        if re.fullmatch(r"# [\w/]+\.(py|yaml)", first):
            file = folder / first[2:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(rest)


BLOCKS = [(page, *block) for page in PAGES for block in blocks(page, "bash")]
IDS = [f"{page.relative_to(ROOT)}:{number}" for page, number, *_ in BLOCKS]
COMMANDS = {
    f"{where} {' '.join(words)[:60]}": words
    for where, (*_, text) in zip(IDS, BLOCKS, strict=True)
    for words in commands(text)
}


@pytest.mark.parametrize(("page", "number", "before", "text"), BLOCKS, ids=IDS)
def test_every_block_of_commands_says_how_it_is_tested(page, number, before, text):
    comment = COMMENT.fullmatch(before)
    assert comment, f"{page}:{number} needs one of the comments that the docstring of {__file__} lists"
    how, what = comment.groups()
    assert (what is None) == (how == "run")
    for file in what.split() if how == "tested" else ():
        assert (ROOT / file).is_file(), file


RUN = [
    pytest.param(page, text, id=where)
    for where, (page, _, before, text) in zip(IDS, BLOCKS, strict=True)
    if before == "<!-- run -->"
]


@pytest.mark.parametrize(("page", "text"), RUN)
def test_commands_work_as_they_stand(page, text, tmp_path):
    for link in ("recipes", "scripts", "docs"):
        (tmp_path / link).symlink_to(ROOT / link)
    write_files(page, tmp_path)
    (tmp_path / "responses.jsonl").write_text(RESPONSES)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def of_this_package(words):
    """What follows `rvpo-verl` in a command, or None."""
    places = [index for index, word in enumerate(words) if Path(word).name == "rvpo-verl"]
    return words[places[0] + 1 :] if places and not {"pip", "git"} & set(words) else None


OURS = {where: rest for where, words in COMMANDS.items() if (rest := of_this_package(words)) is not None}


@pytest.mark.parametrize("words", OURS.values(), ids=OURS)
def test_every_command_and_option_exists(words):
    command, context = typer.main.get_command(app), None
    while True:
        # A group that does something by itself may be the end of the words.
        context = click.Context(command, parent=context, info_name=command.name, resilient_parsing=True)
        if not hasattr(command, "commands") or not words:
            break
        assert words[0] in command.commands, f"no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    if context.ignore_unknown_options:  # Hydra's overrides follow
        return
    known = {option for parameter in command.get_params(context) for option in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known | {"--help"}


def launch(words):
    place = words.index("verl.trainer.main_ppo")
    return words[place + 1 :]


LAUNCHES = {where: launch(words) for where, words in COMMANDS.items() if "verl.trainer.main_ppo" in words}
REST = next(words for where, words in LAUNCHES.items() if where.startswith("docs/start.md"))
"""What `...` stands for: the complete launch of docs/start.md."""


@pytest.mark.parametrize(("where", "words"), LAUNCHES.items(), ids=LAUNCHES)
def test_every_launch_is_valid_with_the_options_of_the_first(where, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_files(ROOT / where.split(":")[0], tmp_path)
    (tmp_path / "tools.py").write_text("")
    given = {word.lstrip("+").split("=")[0] for word in words}
    rest = [word for word in REST if not word.startswith("+") and word.split("=")[0] not in given]
    overrides = [word.replace("$PWD", str(tmp_path)) for word in words if word != "..."]
    compose_config("verl.trainer.main_ppo", rest + overrides)


def anchors(page):
    """As GitHub and MyST make them of headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"(?s)```.*?```", "", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    pytest.param(page, target, id=f"{page.relative_to(ROOT)} {target}")
    for page in PAGES
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", page.read_text()))
    if "://" not in target
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_every_link_leads_somewhere(page, target):
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if file in GENERATED:
        return
    assert file.exists(), f"{page} links to {target}"
    if anchor:
        assert anchor in anchors(file), f"{file} has no heading {anchor!r}, only {sorted(anchors(file))}"


def rows(page, heading):
    """{first cell: second cell} of the table below a heading, without backticks; cells with several names apart."""
    section = page.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            first, second = (cell.strip() for cell in line.split("|")[1:3])
            names = re.findall(r"`([^`]+)`", first)
            defaults = re.findall(r"`([^`]*)`", second) or [""] * len(names)
            table |= dict(zip(names, defaults, strict=True))
    return table


def shown(value):
    """A default as YAML has it; of nested options none, they have defaults of their own."""
    if isinstance(value, BaseModel):
        return ""
    return json.dumps(value) if value is None or isinstance(value, bool | list | dict) else str(value)


@pytest.mark.parametrize(
    ("model", "page", "heading"),
    [
        (AdvantageConfig, "reference/options.md", "algorithm.rvpo"),
        (RewardsConfig, "reference/options.md", "reward.rvpo"),
        (RewardSpec, "reference/options.md", "reward.rvpo.rewards.NAME"),
        (ScheduleConfig, "reference/options.md", "Schedules"),
        (JudgeConfig, "rubrics.md", "The judge"),
    ],
)
def test_every_option_is_in_the_reference_with_its_default(model, page, heading):
    expected = {
        field.alias or name: ""
        if field.is_required()
        else shown(field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
    }
    documented = rows(ROOT / "docs" / page, heading)
    assert set(documented) == set(expected)
    for option, default in documented.items():
        assert number(default) == number(expected[option]), option


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


INVARIANTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/invariants.md").read_text())


def test_the_invariants_are_a_table():
    assert len(INVARIANTS) > 20


@pytest.mark.parametrize(("file", "test"), INVARIANTS)
def test_every_invariant_names_a_test_that_exists(file, test):
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.M)
