"""Every public name says what its user has to know: meaning, shapes, units, errors."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from pathlib import Path

import pytest
from sphinx.pycode import ModuleAnalyzer

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "api.md").read_text()
MODULES = re.findall(r"automodule:: (\S+)", PAGE)
NAMES = [(module, name) for module in MODULES for name in importlib.import_module(module).__all__]
SHAPES = set(
    re.search(r"give the shape of a tensor: (.+?)\.", PAGE, re.DOTALL)[1].replace("\n", " ").split(", ")
)
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


def methods_of(owner):
    """(name, function) of the public methods and properties that the class defines."""
    for name, value in vars(owner).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(function) and name[0] != "_" and not hasattr(value, "decorator_info"):
            yield name, function


def functions():
    """(full name, function, docstring) of every public function and method."""
    for module, name in NAMES:
        value = getattr(importlib.import_module(module), name)
        if inspect.isfunction(value):
            yield f"{module}.{name}", value, inspect.getdoc(value) or ""
        elif inspect.isclass(value):
            for method, function in methods_of(value):
                yield f"{module}.{name}.{method}", function, inspect.getdoc(function) or ""
            if (
                "__init__" in vars(value)
                and inspect.isfunction(value.__init__)
                and "__init__" in value.__init__.__qualname__
            ):
                yield (
                    f"{module}.{name}.__init__",
                    value.__init__,
                    f"{value.__doc__}\n{inspect.getdoc(value.__init__) or ''}",
                )


FUNCTIONS = [
    case
    for case in functions()
    if case[1].__code__.co_filename != "<string>" and "pydantic" not in case[1].__module__
]


def raised(function):
    """Names of the exceptions that the body of a function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and isinstance(node.exc.func, ast.Name)
        ):
            yield node.exc.func.id


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda value: value)
def test_every_public_name_is_documented_where_it_is_defined(module, name):
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value) or inspect.isfunction(value):
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
            assert set(letter) <= {shape[0] for shape in SHAPES}, (
                f"{field}: a shape that the page does not explain"
            )


@pytest.mark.parametrize(("name", "function", "doc"), FUNCTIONS, ids=[case[0] for case in FUNCTIONS])
def test_every_public_function_says_what_it_takes_and_raises(name, function, doc):
    assert doc.strip(), "no docstring"
    for error in raised(function):
        assert re.search(rf"Raises:.*\b{error}:", doc, re.DOTALL), f"it raises {error} and does not say so"
    for argument in inspect.signature(function).parameters:
        if TIMES.search(argument):
            assert re.search(rf"{argument}: .*second", doc), f"{argument} is a time"
        for letters in re.findall(r"_([A-Z]+)$", argument):
            assert set(letters) <= {shape[0] for shape in SHAPES}, (
                f"{argument}: a shape that the page does not explain"
            )


def test_there_is_something_to_check():
    assert len(NAMES) > 40 and len(FUNCTIONS) > 20
