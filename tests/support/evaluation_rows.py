"""Generated rows in the shape of the benchmarks that scripts/eval.sh runs."""

import csv
import json
from pathlib import Path

from rvpo_verl.cpu import tasks


def _write(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def write_healthbench(path: Path, count: int) -> Path:
    return _write(
        path,
        [
            {
                "prompt_id": f"prompt-{number}",
                "prompt": [{"role": "user", "content": f"My knee hurts since {number} days."}],
                "rubrics": [
                    {"criterion": "Asks how it began.", "points": 5, "tags": ["axis:accuracy"]},
                    {"criterion": "Is rude.", "points": -3, "tags": ["axis:communication_quality"]},
                ],
                "example_tags": ["theme:hedging"],
            }
            for number in range(count)
        ],
    )


def write_gpqa(folder: Path, count: int) -> tuple[Path, Path]:
    """A CSV and a JSONL with the same rows."""
    rows = [
        {
            "Record ID": f"rec{number}",
            "Question": f"Which one of these, {number}?",
            "Correct Answer": "right",
            **{f"Incorrect Answer {wrong}": f"wrong {wrong}" for wrong in (1, 2, 3)},
            "High-level domain": ("Physics", "Biology")[number % 2],
            "Subdomain": "Genetics",
        }
        for number in range(count)
    ]
    with (folder / "gpqa.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "gpqa.csv", _write(folder / "gpqa.jsonl", rows)


def write_bfcl(folder: Path, count: int) -> Path:
    """The embedded backend's tools, as the categories simple_python and irrelevance."""
    questions, answers = [], []
    for number in range(count):
        parameters = {
            "type": "dict",
            "properties": {"city": {"type": "string", "description": "City."}},
            "required": ["city"],
        }
        city = tasks.CITIES[number % len(tasks.CITIES)]
        tool = {"name": "find_hotel", "description": "Finds a hotel.", "parameters": parameters}
        question = [[{"role": "user", "content": f"Find a hotel in {city}."}]]
        questions.append({"id": f"simple_python_{number}", "question": question, "function": [tool]})
        answers.append({"id": f"simple_python_{number}", "ground_truth": [{"find_hotel": {"city": [city]}}]})
    _write(folder / "BFCL_v4_simple_python.json", questions)
    _write(folder / "possible_answer/BFCL_v4_simple_python.json", answers)
    irrelevant = [{**one, "id": one["id"].replace("simple_python", "irrelevance")} for one in questions]
    _write(folder / "BFCL_v4_irrelevance.json", irrelevant)
    return folder
