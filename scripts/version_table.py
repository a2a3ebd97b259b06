"""The compatibility table of docs/supported.md, from the JUnit reports of the contract tests, one per verl version."""

import sys
from pathlib import Path
from xml.etree import ElementTree

COLUMNS = {
    "every module attached": "test_attachment",
    "V0 and its asynchronous trainers": "test_compute_advantage_passes",
    "trainer on TransferQueue": "test_the_trainer_on_transfer_queue",
    "refused before Ray starts": "test_early",
    "recipes x algorithms": "test_every_recipe_is_valid_with_every_algorithm",
    "dry runs": "test_every_script_prints_its_plan",
}
"""Heading, and a part of the names of the tests that it summarizes."""


def cell(report: ElementTree.Element, name: str) -> str:
    cases = [
        case for case in report.iter("testcase") if name in f"{case.get('classname')}.{case.get('name')}"
    ]
    if not cases:
        raise SystemExit(f"no test is called {name!r}, which the table summarizes; see COLUMNS in {__file__}")
    ran = [case for case in cases if case.find("skipped") is None]
    passed = [case for case in ran if case.find("failure") is None and case.find("error") is None]
    if not ran:
        return "–"
    if len(passed) < len(ran):
        return f"**fails** ({len(ran) - len(passed)} of {len(ran)})"
    return "yes" if len(ran) == 1 else f"yes ({len(ran)})"


def main(reports: list[str]) -> None:
    print("| verl | " + " | ".join(COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for report in map(Path, reports):
        root = ElementTree.parse(report).getroot()
        print(f"| {report.stem} | " + " | ".join(cell(root, name) for name in COLUMNS.values()) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
