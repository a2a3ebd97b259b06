"""The package as it is here against the package at a revision of git, side by side in one run.

Each runs in a process of its own, with the same cases, in turn; what is measured is the processor time of one
thread, which another program on the machine hardly changes. The kept figures name the revision that is compared
with if none is given.
"""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from benchmarks.rows import Row, machine

REPOSITORY = Path(__file__).parents[2]
KEPT = Path(__file__).with_name("baseline.json")
ROUNDS = 7
SLOWER = 1.1


def measure(revision: str | None) -> tuple[list[Row], dict[str, float]]:
    """
    Returns:
        A row for each case, and milliseconds of the package here by case.
    """
    kept = json.loads(KEPT.read_text())
    revision = revision or kept["revision"]
    rows, figures = [], {}
    with ExitStack() as stack:
        earlier = stack.enter_context(_package(revision))
        workers = [stack.enter_context(_worker(tree)) for tree in (REPOSITORY, earlier)]
        for case in CASES:
            rounds = [[worker(case) for worker in workers] for _ in range(ROUNDS + 1)][1:]
            failed = next((answer["error"] for answer in rounds[0] if "error" in answer), None)
            if failed is not None:
                rows.append(Row(case, float("nan"), "ms", remark=f"not compared: {failed}"))
                continue
            now, then = (
                statistics.median(answer["ms"] for answer in side) for side in zip(*rounds, strict=True)
            )
            figures[case] = now
            was = kept["figures"].get(case)
            remark = "" if was is None else f"kept on {kept['date']}: {was:.3g} ms"
            rows.append(
                Row(case, now, "ms", then, revision[:9], at_most=SLOWER, remark=remark, if_missed="SLOWER")
            )
    return rows, figures


def keep(figures: dict[str, float]) -> None:
    """Makes these the figures, and the commit that is checked out the revision, to compare with from now on."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.strip()
    rounded = {case: round(ms, 3) for case, ms in figures.items()}
    values = {"revision": head, "date": time.strftime("%Y-%m-%d"), "machine": machine(), "figures": rounded}
    KEPT.write_text(json.dumps(values, indent=2) + "\n")


@contextmanager
def _package(revision: str) -> Iterator[Path]:
    """A folder with the package as it was."""
    archive = subprocess.run(
        ["git", "archive", revision, "rvpo_verl"], cwd=REPOSITORY, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)


@contextmanager
def _worker(tree: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    path = os.pathsep.join([str(tree), str(REPOSITORY / "scripts")])
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compare", str(tree)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    questions, answers = (
        cast(IO[str], process.stdin),
        cast(IO[str], process.stdout),
    )  # pipes, as asked for above

    def ask(case: str) -> dict[str, Any]:
        questions.write(case + "\n")
        questions.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError(f"the process that measures {tree} ended at {case!r}; its output is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    try:
        yield ask
    finally:
        questions.close()
        process.wait(timeout=60)


def _batch(size: tuple[int, int, int, int], method: str, ragged: bool = False) -> Callable[[], Any]:
    from benchmarks.advantage import Batch, Workload

    batch = Batch(Workload(*size, ragged=ragged))
    call: Callable[[], Any] = getattr(batch, method) if method == "core" else getattr(batch, method)()
    return call


def _scorers(kind: str) -> Callable[[], Any]:
    from benchmarks import scorers
    from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format

    answers, truths = scorers.answers(kind)

    def call() -> None:
        for given, truth in zip(answers, truths, strict=True):
            tool_call_format(given, truth)
            tool_call_correctness(given, truth)

    return call


def _manager() -> Callable[[], Any]:
    from benchmarks import manager

    return manager.of_ours(128)


SIZES = {"small": (2048, 2, 4, 1024), "middle": (1536, 17, 16, 2048), "large": (16384, 17, 16, 2048)}
TOOL_CALLS = ("right answers", "right answers, written differently", "flawed answers")
CASES: dict[str, Callable[[], Callable[[], Any]]] = {
    **{f"whole call, reward_keys {size}": partial(_batch, size, "with_columns") for size in SIZES.values()},
    **{f"whole call, vectors {size}": partial(_batch, size, "with_vectors") for size in SIZES.values()},
    "whole call, rubrics (1536, 5..17, 16, 2048)": partial(
        _batch, SIZES["middle"], "with_vectors", ragged=True
    ),
    f"equations and broadcast {SIZES['middle']}": partial(_batch, SIZES["middle"], "core"),
    **{f"tool calls: {kind}": partial(_scorers, kind) for kind in TOOL_CALLS},
    "reward manager, 128 responses with two rewards": _manager,
}


def _serve(tree: Path, answers: Any) -> None:
    """Measures the case named by each line of standard input."""
    import torch

    import rvpo_verl
    from benchmarks.advantage import fresh_memory

    if not Path(rvpo_verl.__file__).is_relative_to(tree):
        raise RuntimeError(f"{rvpo_verl.__file__} was imported in place of the package in {tree}")
    torch.set_num_threads(1)
    fresh_memory()
    built: tuple[str, Callable[[], Any]] | None = None
    for line in sys.stdin:
        case = line.rstrip("\n")
        try:
            if built is None or built[0] != case:
                built = None  # its memory first
                built = case, CASES[case]()
            started = time.thread_time()
            built[1]()
            answer: dict[str, float | str] = {"ms": 1e3 * (time.thread_time() - started)}
        except Exception as error:  # an earlier revision may not have what a case needs
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    # Libraries print too: only answers go to the parent.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        _serve(Path(sys.argv[1]), out)
