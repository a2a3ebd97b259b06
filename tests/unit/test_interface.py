"""Every public name says what its user has to know: meaning, shapes, units, errors."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from typing import get_origin

import pytest
import torch
from sphinx.pycode import ModuleAnalyzer

from rvpo_verl.config import RewardsConfig, RewardSpec
from rvpo_verl.core import RewardBatch, Schedule, Settings, compute
from rvpo_verl.core.monitor import WINDOW, Monitor
from rvpo_verl.judge.figures import Figures
from rvpo_verl.metrics import METRICS
from rvpo_verl.rewards.cost import cost_metrics
from rvpo_verl.rewards.failures import scoring_metrics
from rvpo_verl.rewards.uneven import uneven_failures
from rvpo_verl.rewards.vector import RewardVector
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "reference" / "api.md").read_text()
MODULES = re.findall(r"automodule:: (\S+)", PAGE)
NAMES = [(module, name) for module in MODULES for name in importlib.import_module(module).__all__]
LETTERS = set(
    re.findall(r"\b([A-Z]) [a-z]+", PAGE[PAGE.index("Suffixes of names") :].partition("Errors that")[0])
)
"""Letters of shapes that the page explains."""
TIMES = re.compile(r"timeout|deadline|_s$|seconds")
COUNTS = re.compile(r"(^|_)(step|steps|over|freq)$")


def attribute_docs(module):
    """Docstrings under the constants and fields of a module, by (class or "", name)."""
    analyzer = ModuleAnalyzer.for_module(module)
    return {key: " ".join(lines).strip() for key, lines in analyzer.find_attr_docs().items()}


def fields_of(owner):
    """(class, field) of what an object of the class is made of, those that it inherits from the package included."""
    for each in owner.__mro__:
        if each.__module__.startswith("rvpo_verl."):
            yield from (
                (each, name)
                for name in vars(each).get("__annotations__", {})
                if name[0] != "_" and not name.isupper()
            )


def function_of(member):
    """What a method, a class method or a property of any kind runs; None for anything else."""
    for wrapped in ("fget", "func", "__func__"):
        member = getattr(member, wrapped, member)
    return member if inspect.isfunction(member) else None


def functions():
    """(full name, function, docstring) of every public function, method and property that is written in the package."""
    for module, name in NAMES:
        value = getattr(importlib.import_module(module), name)
        if inspect.isfunction(value):
            yield f"{module}.{name}", value, inspect.getdoc(value)
        for member, method in vars(value).items() if inspect.isclass(value) else ():
            function = function_of(method)
            written = function is not None and function.__code__.co_filename == inspect.getsourcefile(value)
            if written and (member[0] != "_" or member in ("__init__", "__call__")):
                yield f"{module}.{name}.{member}", function, inspect.getdoc(function)


FUNCTIONS = list(functions())


def raised(function, private=()):
    """Names of the exceptions that a function raises itself, or through private functions of its module."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if (
            isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and isinstance(node.exc.func, ast.Name)
        ):
            yield node.exc.func.id
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        helper = inspect.unwrap(function.__globals__.get(called)) if called.startswith("_") else None
        if inspect.isfunction(helper) and helper.__module__ == function.__module__ and called not in private:
            yield from raised(helper, (*private, called))


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda value: value)
def test_every_public_name_is_documented_where_it_is_defined(module, name):
    value = getattr(importlib.import_module(module), name)
    # On Python 3.10 isclass is true of Callable[...] too.
    if (inspect.isclass(value) and get_origin(value) is None) or inspect.isfunction(value):
        assert (value.__doc__ or "").strip(), "no docstring"
        assert not value.__doc__.startswith(f"{name}("), "a docstring of dataclasses"
    else:
        homes = [module, *(m for m in sys.modules if m.startswith(f"{module}."))]
        assert any(
            attribute_docs(home).get(("", name)) for home in homes if hasattr(sys.modules[home], "__file__")
        )


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda value: value)
def test_every_field_is_documented_with_its_unit(module, name):
    value = getattr(importlib.import_module(module), name)
    if not inspect.isclass(value):
        return
    for owner, field in fields_of(value):
        doc = attribute_docs(owner.__module__).get((owner.__name__, field))
        assert doc, f"{owner.__name__}.{field} has no docstring"
        if TIMES.search(field):
            assert "second" in doc.lower(), f"{owner.__name__}.{field} is a time: {doc}"
        if COUNTS.search(field):
            assert "step" in doc.lower(), f"{owner.__name__}.{field} counts steps: {doc}"
        for letter in re.findall(r"_([A-Z]+)$", field)[:1]:
            assert set(letter) <= LETTERS, f"{field}: a shape that the page does not explain"


@pytest.mark.parametrize(("name", "function", "doc"), FUNCTIONS, ids=[case[0] for case in FUNCTIONS])
def test_every_public_function_says_what_it_takes_and_raises(name, function, doc):
    assert doc, "no docstring"
    for error in raised(function):
        assert re.search(rf"Raises:.*\b{error}:", doc, re.DOTALL), f"it raises {error} and does not say so"
    for argument in inspect.signature(function).parameters:
        if TIMES.search(argument):
            assert re.search(rf"{argument}: .*second", doc), f"{argument} is a time"
        for letters in re.findall(r"_([A-Z]+)$", argument):
            assert set(letters) <= LETTERS, f"{argument}: a shape that the page does not explain"


def test_there_is_something_to_check():
    assert len(NAMES) > 40 and len(FUNCTIONS) > 30


def test_every_metric_that_is_logged_is_documented_and_no_other():
    rewards = RewardsConfig(rewards={"a": RewardSpec(), "b": RewardSpec()})
    vectors = [RewardVector({"a": step % 2, "b": step % 3}, disagreements={"a": 0.1}) for step in range(8)]
    vectors[0] = RewardVector({"a": None, "b": 1.0}, failures={"a": "refusal: no answer"})
    batch = RewardBatch.from_vectors(vectors, [0, 0, 0, 0, 1, 1, 1, 1], torch.ones(8))
    settings = Settings(weights={"a": Schedule("linear", 1.0, 2.0)})
    metrics = compute(batch, settings, step=1, total_steps=10).metrics
    monitor = Monitor()
    for _ in range(WINDOW):
        flags, _lines = monitor.observe(metrics)
    costs = cost_metrics([RewardVector({"a": 1.0}, figures={"a": vars(Figures(latency=[0.5]))})])
    uneven, _warnings = uneven_failures(vectors, [0] * len(vectors))
    logged = metrics | flags | scoring_metrics(vectors, rewards) | costs | uneven
    names = {re.sub("/(a|b)/", "/NAME/", name).replace("refusal", "CAUSE") for name in logged}
    assert names == {f"rvpo/{name}" for name in METRICS}
