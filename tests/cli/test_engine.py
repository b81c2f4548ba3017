"""`papertape backtest --engine backtrader`: the run, its report, its comparison with ours, and what it refuses."""

from __future__ import annotations

import importlib.util
import json

import pytest

CEREBRO = ("backtest", "my_jumps.py", "--data", "tape", "--engine", "backtrader")


def test_a_run_in_cerebro_is_stored_reported_and_compared(papertape, here):
    pytest.importorskip("backtrader", reason="needs the extra backtrader")
    made = papertape(*CEREBRO, "--analyzer", "sharpe", "--analyzer", "TradeAnalyzer", "--json")
    assert made.status == 0, made.error
    theirs = json.loads(made.out)
    assert "backtrader.tradeanalyzer.total.total" in theirs["metrics"]
    said = papertape("report", theirs["run"].rpartition("-")[2])
    assert said.status == 0, said.error
    assert "backtrader's analyzers" in said.out
    assert "tradeanalyzer.total.total" in said.out
    assert "matched by backtrader's broker" in said.out

    ours = json.loads(papertape("backtest", "my_jumps.py", "--data", "tape", "--limit-fill", "touch", "--json").out)
    assert ours["metrics"]["net_profit"] == pytest.approx(theirs["metrics"]["net_profit"])
    ids = [each["run"].rpartition("-")[2] for each in (ours, theirs)]
    said = papertape("compare", *ids)
    assert said.status == 0, said.error
    assert f"{ids[1]}: differs from the base in engine alone" in said.out
    assert "the engines that matched orders differ" in said.out


def test_a_grid_can_be_run_in_cerebro(papertape, here):
    pytest.importorskip("backtrader", reason="needs the extra backtrader")
    said = papertape(*CEREBRO, "--grid", "quantity=5,10", "--workers", "1")
    assert said.status == 0, said.error


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--latency", "5ms"], "latency"),
        (["--limit-fill", "through"], "just touched"),
        (["--analyzer", "sharp"], 'did you mean "SharpeRatio"'),
        (["--fees", "ib-tiered"], "tiers"),
    ],
)
def test_what_cerebro_can_not_do_is_one_line_and_status_two(papertape, here, more, word):
    pytest.importorskip("backtrader", reason="needs the extra backtrader")
    said = papertape(*CEREBRO, *more)
    assert said.status == 2
    assert word in said.error
    assert said.error.strip().count("\n") == 0


def test_an_order_that_cerebro_can_not_do_names_the_line_that_gave_it(papertape, here):
    pytest.importorskip("backtrader", reason="needs the extra backtrader")
    text = (here / "my_jumps.py").read_text()
    (here / "trailing.py").write_text(text.replace("self.quantity)", "self.quantity, trail=1.0)"))
    said = papertape("backtest", "trailing.py", "--data", "tape", "--engine", "backtrader")
    assert said.status == 2
    assert "trailing.py:" in said.error
    assert "engine backtrader takes MARKET, LIMIT, STOP, STOP_LIMIT" in said.error


def test_without_the_package_the_run_does_not_begin(papertape, here, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "backtrader" else find(name))
    said = papertape(*CEREBRO)
    assert said.status == 2
    assert said.error.strip() == "error: engine backtrader needs its package: pip install '.[backtrader]'"


def test_analyzers_without_their_engine_are_refused(papertape, here):
    said = papertape("backtest", "my_jumps.py", "--data", "tape", "--analyzer", "sharpe")
    assert said.status == 2
    assert "need engine backtrader" in said.error
