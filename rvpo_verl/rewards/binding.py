"""A reward of the configuration: its function, the arguments it gets, and the scores in what it returns."""

import difflib
import inspect
import math
import numbers
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from rvpo_verl.config import RewardSpec, base_weight
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.registry import resolve
from rvpo_verl.rewards.sample import ARGUMENTS, Sample
from rvpo_verl.rewards.score import Score, Scores

IN_THIS_PROCESS = ("tokenizer", "reward_model_tokenizer")
"""Arguments that a reward with `executor: process` cannot have: they would be sent with every response."""
# What scoring functions written for verl, or for other trainers, call the same thing.
OTHER_NAMES = {"solution_str": "response", "completion": "response", "prompt": "messages"}


@dataclass(frozen=True)
class Reading:
    """What a reward says of one response."""

    scores: dict[str, Score]
    error: BaseException | None = None
    """What was wrong with the whole of it, or with one of the scores, which is missing then."""
    texts: dict[str, str] = field(default_factory=dict)
    """Texts beside the scores, by `NAME/KEY`, such as the answer that was extracted."""
    figures: Mapping[str, float | list[float]] = field(default_factory=dict)
    """See `Scores`."""


class BoundReward:
    def __init__(self, name: str, spec: RewardSpec, offered: Collection[str]):
        """
        Args:
            name: of the specification.
            offered: the names of `ARGUMENTS` that samples will have.

        Raises:
            ConfigError: the function is not found, or one of its arguments is not available.
        """
        found = resolve(spec.function or name)
        self.name, self.spec, self.origin = name, spec, found.origin
        if spec.executor == "process":
            offered = [argument for argument in offered if argument not in IN_THIS_PROCESS]
        weights = spec.weights(name).items()
        self._weights = {output: base_weight(weight) for output, weight in weights}
        self.missing = {output: Score(None, weight) for output, weight in self._weights.items()}
        """Its scores where it does not apply, or failed."""
        self.function = found.function
        self.is_async = is_async(found.function)
        self._check_kind()
        parameters = self._parameters()
        self._check(parameters, offered)

        self._fixed = dict(spec.kwargs)
        already = _fixed_by_partial(found.function) | set(spec.kwargs)
        self._positional, self._named = [], []
        for parameter in parameters:
            if parameter.kind == parameter.POSITIONAL_ONLY:
                self._positional.append(parameter.name)
                if parameter.name not in offered:
                    self._fixed.setdefault(parameter.name, parameter.default)
            elif parameter.name in offered and parameter.name not in already and _has_name(parameter):
                self._named.append(parameter.name)

    def applies(self, sample: Sample) -> bool:
        return self.spec.data_sources is None or sample.data_source in self.spec.data_sources

    def call(self, sample: Sample) -> Callable[[], Any]:
        """The function with the arguments that it names."""
        _, values, keywords = self.arguments(sample)
        return partial(self.function, *values, **keywords)

    def arguments(self, sample: Sample) -> tuple[str, list[Any], dict[str, Any]]:
        """Name or place of the function, and the positional and keyword arguments that it names."""
        keywords = self._fixed | {name: getattr(sample, name) for name in self._named}
        values = [
            keywords.pop(name) if name in keywords else getattr(sample, name) for name in self._positional
        ]
        return self.spec.function or self.name, values, keywords

    def read(self, value: Any) -> Reading:
        """The scores in what the function returned.

        Raises:
            TypeError, ValueError: nothing in it can be used.
        """
        if value is None:
            return Reading(self.missing)
        outputs = self.spec.outputs
        if not isinstance(value, Mapping):
            if outputs is not None:
                raise TypeError(f"returned {_kind(value)}, not a dict of its outputs {list(outputs)}")
            return Reading({self.name: self._score(value, "returned", self._weights[self.name])})

        figures = value.figures if isinstance(value, Scores) else {}
        texts = {
            f"{self.name}/{key}": text
            for key, text in value.items()
            if isinstance(text, str) and key not in (outputs or ())
        }
        value = {key: score for key, score in value.items() if f"{self.name}/{key}" not in texts}
        unexpected_keys = [
            key for key in value if not isinstance(key, str) or (outputs and key not in outputs)
        ]
        if unexpected_keys:
            accepted = f"its outputs {list(outputs)}" if outputs else "strings"
            raise TypeError(f"returned a dict with the keys {unexpected_keys}; accepted: {accepted}")
        if texts and not value:
            raise TypeError(f"returned a dict of texts alone, {sorted(texts)}; at least one number is needed")
        scores, wrong = {}, None
        for key in outputs or value:
            name = key if outputs else f"{self.name}/{key}"
            weight = self._weights[key if outputs else self.name]
            scores[name] = Score(None, weight)
            try:
                if key not in value:
                    raise ValueError(f"returned no {key!r}; return None where it does not apply")
                scores[name] = self._score(value[key], f"{key}: returned", weight)
            except (TypeError, ValueError, OverflowError) as error:
                wrong = wrong or error
        return Reading(scores or self.missing, wrong, texts, figures)

    def _score(self, value: Any, returned: str, weight: float) -> Score:
        """A value that the function returned, weighted by the configuration."""
        given = value if isinstance(value, Score) else None
        if given is not None:
            own = _number(given.weight, f"{returned} with the weight")
            if own < 0:
                raise ValueError(f"{returned} with the weight {own}; accepted: at least 0")
            value, weight = given.value, weight * own
        number = None if value is None else _number(value, returned)
        worth = self.spec.otherwise
        if self.spec.only_if and number is not None and number < worth:
            raise ValueError(
                f"{returned} {number:g}, less than the {worth:g} that it is worth where only_if does not hold: set "
                f"reward.rvpo.rewards.{self.name}.otherwise to its lowest value"
            )
        return Score(number, weight) if given is None else replace(given, value=number, weight=weight)

    def _check_kind(self) -> None:
        """
        Raises:
            ConfigError: what was found can be called, but does not return a score.
        """
        what, called = f"reward {self.name!r} ({self.origin})", _without_partial(self.function)
        if inspect.isclass(called):
            raise ConfigError(
                f"{what} is a class, so that calling it makes an object and no score: put an object of it into the "
                f"module, NAME = {called.__name__}(...), and name that"
            )
        if inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
            raise ConfigError(f"{what} is a generator: let it return its score in place of yielding it")

    def _parameters(self) -> list[inspect.Parameter]:
        try:
            return list(inspect.signature(self.function).parameters.values())
        except (TypeError, ValueError):
            raise ConfigError(
                f"reward {self.name!r} ({self.origin}): Python does not know the arguments of {self.function!r}; "
                "wrap it in a function that names them"
            ) from None

    def _check(self, parameters: list[inspect.Parameter], offered: Collection[str]) -> None:
        kwargs, key = self.spec.kwargs, f"reward.rvpo.rewards.{self.name}.kwargs"
        named = {parameter.name: parameter for parameter in parameters if _has_name(parameter)}
        complaints = []
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            settable = [name for name in named if name not in ARGUMENTS]
            complaints += [
                f"{key}.{name}={value!r}: it takes no such argument{_hint(name, settable)}; what it takes "
                f"from kwargs: {', '.join(settable) or 'nothing'}"
                for name, value in kwargs.items()
                if name not in named
            ]
        for name, parameter in named.items():
            if parameter.default is parameter.empty and name not in offered and name not in kwargs:
                reason = "is not available here"
                if name not in ARGUMENTS:
                    reason = f"is neither on offer nor in {key}{_hint(name, offered)}"
                complaints.append(f"its argument {name!r} {reason}; on offer: {', '.join(offered)}")
        if parameters and not named and not kwargs:
            complaints.append(
                "it names no argument, so that it would know nothing of the response: name those that it needs in "
                f"place of *args and **kwargs; on offer: {', '.join(offered)}"
            )
        if complaints:
            what = f"reward {self.name!r} ({self.origin})"
            raise ConfigError("\n".join(f"{what}: {complaint}" for complaint in complaints))


def is_async(function: Callable[..., Any]) -> bool:
    of_object = getattr(function, "__call__", None)  # noqa: B004  an object may have an async one
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(of_object)


def _without_partial(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _fixed_by_partial(function: Any) -> set[str]:
    """Arguments that a `functools.partial` has set already."""
    return (
        set(function.keywords) | _fixed_by_partial(function.func) if isinstance(function, partial) else set()
    )


def _has_name(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def _number(value: Any, what: str) -> float:
    """A finite float from a number, a boolean, or a scalar of numpy or torch."""
    plain = value
    if not isinstance(value, numbers.Real) and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        plain = value.item()
    if not isinstance(plain, numbers.Real | Decimal):
        raise TypeError(f"{what} {_kind(value)}; accepted: a number, None, or a dict of those")
    score = float(plain)
    if not math.isfinite(score):
        raise ValueError(f"{what} {score}, which is not finite")
    return score


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")


def _hint(name: str, names: Collection[str]) -> str:
    other = OTHER_NAMES.get(name)
    near = [other] if other in names else difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
