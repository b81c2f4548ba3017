"""Whole runs in threads, over a real socket, under the faults of the simulated gateway: the books come out right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.faulty import play

pytest.importorskip("ibapi")


def fault(kind: str, **keys: object) -> str:
    """One table of a scenario."""
    lines = [f'kind = "{kind}"']
    for name, value in keys.items():
        text = f'"{value}"' if isinstance(value, str) else str(value).lower()
        lines.append(f"{name.rstrip('_')} = {text}")
    return "[[fault]]\n" + "\n".join(lines) + "\n\n"


SCENARIOS = {
    "nothing": "",
    "statuses lost, doubled and late, fills in parts": (
        fault("drop", message="order-status", nth=2, count=5)
        + fault("duplicate", message="execution", nth=1, count=0)
        + fault("duplicate", message="commission", nth=2, count=4)
        + fault("reorder", message="order-status", behind="execution", nth=3)
        + fault("delay", message="commission", for_="5s", nth=4, count=3)
        + fault("partial", nth=2, parts=3)
    ),
    "corrected, busted and filled after a cancel": (
        fault("correct", nth=2, by=0.05) + fault("bust", nth=4) + fault("late-fill", nth=6) + fault("reject", nth=3)
    ),
    "1100 with fills inside, both ways back": (
        fault("connectivity", at="10:00:08", for_="6s", data_lost=True) + fault("connectivity", at="10:00:24", for_="5s")
    ),
    "disconnected in the middle of fills, ids back, id busy": (
        fault("disconnect", message="execution", nth=3)
        + fault("disconnect", at="10:00:20")
        + fault("ids-back", nth=2, by=5)
        + fault("client-id-busy", count=2)
    ),
    "half open, then restarted": fault("half-open", at="10:00:10") + fault("restart", at="10:00:30", wall="0.5s"),
    "bytes by the drip": (
        fault("drip", message="execution", bytes=7) + fault("full-read", message="open-order", nth=2)
        + fault("stall", message="order-status", nth=3, wall="0.3s")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_position_and_cash_are_the_accounts_after(name: str, tmp_path: Path) -> None:
    played = play(SCENARIOS[name], tmp_path)
    played.check()
    assert len(played.refs) >= 10
    assert not played.run.parts.adapter.state.halted, played.said
