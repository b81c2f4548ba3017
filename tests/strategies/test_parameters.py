"""Parameters that may be none, and those of a few words."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest

from papertape import Strategy, errors, parameter


class Example(Strategy):
    bound: float | None = parameter(5, above=0)
    length: str | None = None
    word: Literal["dollars", "percent"] = parameter("dollars")


@pytest.mark.parametrize("given", [None, "none", " None "])
def test_a_parameter_that_may_be_none_takes_none_as_a_value_and_as_a_word(given: object) -> None:
    example = Example(bound=given)
    assert example.bound is None


@pytest.mark.parametrize("given", [7, 7.0, "7"])
def test_a_parameter_that_may_be_none_takes_what_it_is_otherwise(given: object) -> None:
    assert Example(bound=given).bound == 7.0


def test_a_parameter_that_may_be_none_keeps_its_bounds() -> None:
    with pytest.raises(errors.ConfigError, match="bound=-1"):
        Example(bound=-1)


def test_a_parameter_that_may_not_be_none_refuses_it() -> None:
    with pytest.raises(errors.ConfigError, match="word=None"):
        Example(word=None)


def test_a_word_that_is_not_known_is_answered_with_those_that_are() -> None:
    with pytest.raises(errors.ConfigError, match="word='euros' is none of dollars, percent"):
        Example(word="euros")


def test_what_a_class_declares_as_its_own_is_no_parameter() -> None:
    class Own(Strategy):
        number: int = 1
        table: ClassVar = {1: 2}
        names: ClassVar[list[str]] = []
        allow_short = True

    assert list(Own.parameters()) == ["number"]
    assert Own(number=2).parameter_values == {"number": 2}


def test_a_type_that_no_text_can_be_is_refused_by_name() -> None:
    class Odd(Strategy):
        weigh: list[int] | set[int] | None = None

    assert Odd().parameter_values == {"weigh": None}
    with pytest.raises(errors.ConfigError, match=r"parameter weigh: its type .* cannot be set; use int, float"):
        Odd(weigh="1")


def test_an_annotation_that_names_nothing_is_refused_by_its_name() -> None:
    class Odd(Strategy):
        prices: "Nothing" = 1  # type: ignore[name-defined]  # noqa: F821, UP037

    with pytest.raises(errors.ConfigError, match=r"Odd: an annotation cannot be read .*Nothing"):
        Odd()
