"""Generated rows in the shape of the benchmarks that scripts/eval.sh runs."""

import csv
import json
from pathlib import Path
from typing import Any

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


def write_bfcl(folder: Path, count: int, nested: bool = False) -> Path:
    """The embedded backend's tools, as the categories simple_python and irrelevance.

    Args:
        nested: the tool has a further parameter, which is an object.
    """
    questions: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for number in range(count):
        properties: dict[str, Any] = {"city": {"type": "string", "description": "City."}}
        possible: dict[str, list[Any]] = {"city": [tasks.CITIES[number % len(tasks.CITIES)]]}
        if nested:
            properties["budget"] = {
                "type": "dict",
                "description": "Budget.",
                "properties": {key: {"type": "integer", "description": key} for key in ("min", "max")},
            }
            possible["budget"] = [{"min": [3], "max": [4, 5]}]
        parameters = {"type": "dict", "properties": properties, "required": list(properties)}
        tool = {"name": "find_hotel", "description": "Finds a hotel.", "parameters": parameters}
        question = [[{"role": "user", "content": f"Find a hotel in {possible['city'][0]}."}]]
        questions.append({"id": f"simple_python_{number}", "question": question, "function": [tool]})
        answers.append({"id": f"simple_python_{number}", "ground_truth": [{"find_hotel": possible}]})
    _write(folder / "BFCL_v4_simple_python.json", questions)
    _write(folder / "possible_answer/BFCL_v4_simple_python.json", answers)
    irrelevant = [{**one, "id": one["id"].replace("simple_python", "irrelevance")} for one in questions]
    _write(folder / "BFCL_v4_irrelevance.json", irrelevant)
    return folder


SERVICE = """
from typing import List

class TwitterAPI:
    def __init__(self):
        self.posts = []

    def _load_scenario(self, scenario, long_context=False):
        self.posts = []

    def post(self, words: List[str]) -> dict:
        self.posts.append(words)
        return {"posted": len(self.posts)}

    def tag(self, names: List[str]) -> dict:
        self.posts[-1].extend(names)
        return {"tagged": True}

    def read(self) -> dict:
        return {"posts": len(self.posts)}
"""


def write_dialogues(folder: Path) -> Path:
    """A dialogue of two turns with a service that changes lists it is called with.

    All tools are offered from the first turn on in multi_turn_base; one is named later in multi_turn_miss_func.
    """
    from inspect_evals.bfcl.backends.loader import CLASS_FILE_MAPPING

    names = {"words": "Words.", "names": "Names."}
    docs = [
        {
            "name": name,
            "description": f"{name}.",
            "parameters": {
                "type": "dict",
                "properties": {
                    key: {"type": "array", "items": {"type": "string"}, "description": names[key]}
                    for key in keys
                },
                "required": keys,
            },
        }
        for name, keys in (("post", ["words"]), ("tag", ["names"]), ("read", []))
    ]
    _write(folder / "multi_turn_func_doc/posting_api.json", docs)
    (folder / "func_source_code").mkdir()
    for file, name in CLASS_FILE_MAPPING.values():
        code = SERVICE if name == "TwitterAPI" else f"class {name}: pass"
        (folder / f"func_source_code/{file}.py").write_text(code)
    for category, missed in (("multi_turn_base", None), ("multi_turn_miss_func", {"0": ["post"]})):
        row = {
            "id": f"{category}_0",
            "question": [[{"role": "user", "content": "Post a."}], [{"role": "user", "content": "Tag b."}]],
            "initial_config": {"TwitterAPI": {}},
            "involved_classes": ["TwitterAPI"],
            "path": ["TwitterAPI.post", "TwitterAPI.tag"],
        }
        if missed:
            row["missed_function"] = missed
        truth = {"id": row["id"], "ground_truth": [["post(words=['a'])"], ["tag(names=['b'])"]]}
        _write(folder / f"BFCL_v4_{category}.json", [row])
        _write(folder / f"possible_answer/BFCL_v4_{category}.json", [truth])
    return folder
