"""Rows as data sets publish them, generated."""

import json

import pyarrow
import pyarrow.parquet


def criterion(description, weight=5, **more):
    return {"title": "A title", "description": description, "weight": weight, **more}


def rar(question="What is the dose?", *criteria, answer="5 mg", **more):
    criteria = criteria or (criterion("Essential Criteria: States 5 mg."),)
    return {
        "question": question,
        "reference_answer": answer,
        "question_source": "exam",
        "rubric": list(criteria),
        "rubric_list": [each["description"] for each in criteria],
        "rubric_count": len(criteria),
        **more,
    }


def healthbench(question="What is the dose?", *points, **more):
    return {
        "prompt": [{"role": "user", "content": question}],
        "prompt_id": "a-b-c",
        "example_tags": ["theme:x"],
        "rubrics": [
            {"criterion": f"Says thing {n}.", "points": each, "tags": ["level:example", "axis:accuracy"]}
            for n, each in enumerate(points or (5, -3))
        ],
        **more,
    }


def write(path, rows):
    """In the format that the name says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".arrow":
        table = pyarrow.Table.from_pylist(rows)
        with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    return path
