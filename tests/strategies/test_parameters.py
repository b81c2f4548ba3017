"""Parameters that may be none, and those of a few words."""

from __future__ import annotations

from typing import Literal

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
