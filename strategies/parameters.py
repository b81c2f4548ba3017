"""Parameters of a strategy: typed class attributes, checked against their bounds before a run starts."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from papertape.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class Parameter:
    """What may be set: type, default, bounds as msgspec's Meta (gt, ge, lt, le), and a line of help."""

    name: str
    type: Any
    default: Any
    bounds: Mapping[str, Any]
    help: str = ""

    def check(self, value: Any) -> Any:
        """``value`` as the parameter's type, a plain Python value; ConfigError where it is none or out of bounds."""
        wanted_type, may_be_none = _without_none(self.type)
        if value is None and (may_be_none or self.default is None):
            return None
        if may_be_none and isinstance(value, str) and value.strip().lower() == "none":
            return None
        value = _plain(value)
        wants_list = get_origin(wanted_type) is list or wanted_type is list
        if isinstance(value, str):
            text = value.strip()
            if wants_list:
                value = [part.strip() for part in text.split(",") if part.strip()]
            elif wanted_type is float and text.endswith("%"):
                value = _percent(text)
            elif wanted_type is float or wanted_type is int:
                value = text.replace("_", "")
        elif wants_list and not isinstance(value, list):
            value = list(value)
        wanted = Annotated[wanted_type, msgspec.Meta(**self.bounds)] if self.bounds else wanted_type
        try:
            checked = msgspec.convert(value, wanted, strict=False)
        except msgspec.ValidationError as error:
            if get_origin(wanted_type) is Literal:
                known = [str(each) for each in get_args(wanted_type)]
                raise ConfigError(f"{self.name}={value!r} is none of {', '.join(known)}") from None
            raise ConfigError(f"{self.name}={value!r}: {_reason(str(error))}") from None
        except TypeError:
            raise ConfigError(
                f"parameter {self.name}: its type {self.type} cannot be set; use int, float, str, bool, Literal or a list "
                "of them, or leave out the annotation"
            ) from None
        if isinstance(checked, float) and not math.isfinite(checked):
            raise ConfigError(f"{self.name}={value!r}: a finite number is needed")
        return checked


def _without_none(wanted: Any) -> tuple[Any, bool]:
    """``X | None`` as (X, True), anything else as itself and False: bounds are those of X."""
    if get_origin(wanted) not in (Union, UnionType):
        return wanted, False
    rest = [each for each in get_args(wanted) if each is not NoneType]
    return (rest[0], True) if len(rest) == 1 else (wanted, NoneType in get_args(wanted))


def _plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it is (NumPy scalars double the time of a rule)."""
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") and value.ndim == 0 else value


def _percent(text: str) -> float | str:
    try:
        return float(text[:-1]) / 100.0
    except ValueError:
        return text


def _reason(text: str) -> str:
    """Msgspec's words, without its own punctuation."""
    return text.replace("`", "").replace("Expected", "expected").rstrip(".")


class _Bounded:
    """A default with bounds, as it stands in a class body until the class is made."""

    def __init__(self, default: Any, bounds: dict[str, float], text: str) -> None:
        self.default = default
        self.bounds = bounds
        self.help = text


def parameter(
    default: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    help: str = "",  # noqa: A002  # the word that whoever writes a strategy looks for
) -> Any:
    """A default with bounds: ``up: float`` may stand for more than 0 and less than 1. ``help`` is one line."""
    named = {"gt": above, "ge": at_least, "lt": below, "le": at_most}
    return _Bounded(default, {name: value for name, value in named.items() if value is not None}, help)


def parameters_of(cls: type, base: type) -> dict[str, Parameter]:
    """Parameters of a strategy class: annotated public attributes with a default, of it and of its bases."""
    found: dict[str, Parameter] = {}
    for each in reversed(cls.__mro__):
        if each is base or not issubclass(each, base):
            continue
        own = inspect.get_annotations(each)
        if not own:
            continue
        try:
            hints = get_type_hints(each, include_extras=True)
        except (NameError, TypeError) as error:
            raise ConfigError(f"{each.__name__}: an annotation cannot be read ({error})") from None
        for name in own:
            if name.startswith("_") or name not in each.__dict__ or ClassVar in (hints[name], get_origin(hints[name])):
                continue
            value = each.__dict__[name]
            if isinstance(value, _Bounded):
                found[name] = Parameter(name, hints[name], value.default, value.bounds, value.help)
            else:
                found[name] = Parameter(name, hints[name], value, {})
    return found


def checked_values(known: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every parameter: the given one, checked, else the default, checked too."""
    for name in given:
        if name not in known:
            raise ConfigError(f'unknown parameter "{name}"{did_you_mean(name, known)}')
    return {name: each.check(given.get(name, each.default)) for name, each in known.items()}
