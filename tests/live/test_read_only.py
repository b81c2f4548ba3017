"""A TWS that tells no orders, as one does whose API is read-only: whom it hinders, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from tests.brokers.ib.linked import Tws
from tests.live.adapted import Adapted, close_journals


@pytest.fixture(autouse=True)
def _journals_end_with_their_tests() -> Iterator[None]:
    yield
    close_journals()


class Mute(Tws):
    """Says nothing of orders, as a TWS may whose API is read-only."""

    def answer(self, command: c.Command) -> list[r.Record]:
        """What it says."""
        return [] if isinstance(command, c.AskOpenOrders | c.AskCompletedOrders) else super().answer(command)


def test_a_tws_that_says_nothing_of_orders_is_no_hindrance_to_a_run_that_gives_none(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, Mute(), is_read_only=True)
    adapted.wait(50.0)
    assert "connection: reconciling: connected" in adapted.said[-1]
    adapted.wait(11.0)
    assert adapted.adapter.ib.is_ready
    assert 'TWS\'s "Read-Only API" is on: which orders the account has is not told' in adapted.said


def test_a_run_that_would_give_orders_waits_and_names_the_setting(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, Mute())
    adapted.wait(61.0)
    assert not adapted.adapter.ib.is_ready
    (told,) = [text for text in adapted.said if "did not answer in time" in text]
    assert told.endswith(
        'completed orders, open orders (is "Read-Only API" on, in Global Configuration > API > Settings?)'
    )
