"""``papertape runs``: listing, filtering and sorting what is kept; deleting and starring by name."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.cli.run_list import Filter, since_time, sorted_runs
from papertape.core.errors import ConfigError
from papertape.shelf import Kept
from papertape.store import FILE_NAME, save_run
from tests.report.made_records import a_record, many_sessions

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


@pytest.fixture
def kept(here: Path) -> dict[str, Path]:
    """Three runs, by a word for each: good (starred nothing, many sessions), poor and paper."""
    poor = a_record(strategy="TickMomentum", final_equity=99_000.0, synthetic=True, guard_tripped=True)
    poor.prices = {"ZZZ": poor.equity}
    paper = a_record(strategy="Jumps", mode="paper")
    paper.settings["parameters"] = {"up": 0.0777}
    made = {"good": many_sessions(), "poor": poor, "paper": paper}
    return {word: save_run(record, here / "runs") for word, record in made.items()}


def listed(papertape: Runner, *arguments: str) -> set[str]:
    said = papertape("runs", *arguments, "--json")
    assert said.status == 0, said.error
    return {each["run"] for each in json.loads(said.out)}


def names(kept: dict[str, Path], *words: str) -> set[str]:
    return {kept[word].name for word in words}


def test_runs_are_listed_with_their_metrics(papertape: Runner, kept: dict[str, Path]) -> None:
    said = papertape("runs")
    for path in kept.values():
        assert path.name[-6:] in said.out
    assert said.out.splitlines()[-1] == "S synthetic tape, T guard tripped"
    assert next(line for line in said.out.splitlines() if "TickMomentum" in line).split()[0] == "ST"
    assert "paper" in said.out
    assert said.out == papertape("runs", "list", "runs").out == papertape("runs", "--in", "runs").out
    (poor,) = (each for each in json.loads(papertape("runs", "--json").out) if each["run"] == kept["poor"].name)
    assert poor["metrics"]["net_profit"] == -1000.0
    assert poor["strategy"] == "TickMomentum"
    assert poor["written"].startswith("20")


def test_every_line_of_the_list_fits_a_terminal(papertape: Runner, kept: dict[str, Path]) -> None:
    save_run(a_record(strategy="A" * 70), Path("runs"))
    assert max(map(len, papertape("runs").out.splitlines())) <= 80
    sorted_by = papertape("runs", "--sort", "average_duration_s").out
    assert max(map(len, sorted_by.splitlines())) <= 80
    assert "average duration" in sorted_by


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategy", "TickMomentum"), ("poor",)),
        (("--strategy", "tick_momentum"), ("poor",)),
        (("--strategy", "tick"), ()),
        (("--mode", "paper"), ("paper",)),
        (("--mode", "live"), ()),
        (("--symbol", "zzz"), ("poor",)),
        (("--since", "1h"), ("good", "poor", "paper")),
        (("--since", "2999-01-01"), ()),
        (("--text", "0.0777"), ("paper",)),
        (("--text", "TICKMOM"), ("poor",)),
        (("--starred",), ()),
        (("--strategy", "jumps", "--mode", "backtest"), ("good",)),
    ],
)
def test_filters_admit_what_they_name(papertape: Runner, kept: dict[str, Path], arguments, words) -> None:
    assert listed(papertape, *arguments) == names(kept, *words)


def test_a_filter_that_admits_nothing_says_of_how_many(papertape: Runner, kept: dict[str, Path]) -> None:
    assert papertape("runs", "--mode", "live").out == "none of the 3 runs in runs is such a run\n"
    assert papertape("runs", "--mode", "paper").out.endswith("1 of 3 runs\n")


def test_runs_are_sorted_best_first_and_unknown_last(papertape: Runner, kept: dict[str, Path]) -> None:
    order = [each["run"] for each in json.loads(papertape("runs", "--sort", "net_profit", "--json").out)]
    assert order[-1] == kept["poor"].name
    by_sharpe = json.loads(papertape("runs", "--sort", "sharpe", "--json").out)
    assert by_sharpe[0]["run"] == kept["good"].name
    assert "turnover" in papertape("runs", "--sort", "turnover").out


def test_of_a_cost_the_least_is_the_best() -> None:
    runs = [Kept(Path(str(fee)), metrics={"fees": fee}) for fee in (3.0, 1.0, None, 2.0)]
    assert [run.metrics["fees"] for run in sorted_runs(runs, "fees")] == [1.0, 2.0, 3.0, None]


def test_an_unknown_metric_is_refused_with_a_near_one(papertape: Runner, kept: dict[str, Path]) -> None:
    said = papertape("runs", "--sort", "sharp")
    assert said.status == 2
    assert said.error == 'error: --sort "sharp" is no metric; did you mean "sharpe"?\n'


def test_times_since_are_dates_or_ages() -> None:
    assert since_time("12h", NOW) == dt.datetime(2026, 3, 2, 0, tzinfo=dt.UTC)
    assert since_time("2w", NOW) == dt.datetime(2026, 2, 16, 12, tzinfo=dt.UTC)
    assert since_time("2026-01-31") == dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    assert since_time("2026-01-31T09:30+01:00") == dt.datetime(2026, 1, 31, 8, 30, tzinfo=dt.UTC)
    assert since_time(None) is None
    with pytest.raises(ConfigError, match="a date as 2026-01-31"):
        since_time("yesterday")


def test_a_damaged_run_is_listed_and_breaks_neither_list_nor_sorting(papertape: Runner, kept: dict[str, Path]) -> None:
    name = "20200101T000000Z-Jumps-paper-000000"
    (Path("runs") / name).mkdir()
    (Path("runs") / name / FILE_NAME).write_text("no database")
    said = papertape("runs", "--sort", "sharpe")
    assert said.status == 0
    assert next(line for line in said.out.splitlines() if "DAMAGED" in line).split()[2] == "000000"
    assert f"damaged: runs/{name}: not a run of papertape" in said.error
    (damaged,) = (each for each in json.loads(papertape("runs", "--json").out) if each["damage"])
    assert damaged["run"] == name
    for arguments in (("--strategy", "jumps"), ("--mode", "paper")):
        assert name in listed(papertape, *arguments), "its name says so"
    assert name not in listed(papertape, "--symbol", "AAA")


@pytest.mark.parametrize("metric", [None, "sharpe"])
def test_a_filter_of_nothing_admits_every_run(metric: str | None) -> None:
    assert Filter().admits(Kept(Path("x"), damage="broken" if metric else ""))


def test_stars_are_set_shown_and_taken(papertape: Runner, kept: dict[str, Path]) -> None:
    good, poor = kept["good"].name, kept["poor"].name[-6:]
    assert papertape("runs", "star", good, poor).out == "starred 2 runs\n"
    assert listed(papertape, "--starred") == names(kept, "good", "poor")
    assert sum("  *" in line[:6] for line in papertape("runs").out.splitlines()) == 2
    assert papertape("runs", "unstar", poor).out == "took the star from 1 run\n"
    assert listed(papertape, "--starred") == names(kept, "good")


def test_the_last_run_is_the_last_written_whatever_was_starred_since(papertape: Runner, kept: dict[str, Path]) -> None:
    for second, word in enumerate(("good", "paper", "poor")):
        os.utime(kept[word] / FILE_NAME, (1_700_000_000 + second,) * 2)
    papertape("runs", "star", kept["good"].name)
    assert papertape("show", "last").out.endswith(f"{kept['poor'].name}\n")


def test_runs_are_deleted_all_or_none(papertape: Runner, kept: dict[str, Path]) -> None:
    said = papertape("runs", "delete", kept["poor"].name, "nothing_such", "--yes")
    assert said.status == 2
    assert listed(papertape) == names(kept, "good", "poor", "paper")
    said = papertape("runs", "delete", kept["poor"], kept["poor"].name, kept["paper"].name[-6:], "--yes")
    assert said.out == "deleted 2 runs\n", "one that is named twice is deleted once"
    assert listed(papertape) == names(kept, "good")
    assert {path.name for path in Path("runs").iterdir()} == names(kept, "good")


def test_a_starred_run_keeps_the_others_from_being_deleted_with_it(papertape: Runner, kept: dict[str, Path]) -> None:
    papertape("runs", "star", kept["good"].name)
    said = papertape("runs", "delete", kept["poor"].name, kept["good"].name, "--yes")
    assert (said.status, "it is starred" in said.error) == (2, True)
    assert listed(papertape) == names(kept, "good", "poor", "paper")


def test_nothing_is_deleted_without_being_asked_for(papertape: Runner, kept: dict[str, Path]) -> None:
    said = papertape("runs", "delete", "last")
    assert said.status == 2
    assert said.error == "error: nobody is there to ask; delete without asking with --yes\n"
    assert listed(papertape) == names(kept, "good", "poor", "paper")


@pytest.mark.parametrize(("answer", "left"), [("n\n", ("good", "poor", "paper")), ("y\n", ("good", "paper"))])
def test_a_person_is_asked_first(papertape: Runner, kept: dict[str, Path], monkeypatch, answer, left) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    said = papertape("runs", "delete", kept["poor"].name)
    assert said.status == 0
    assert kept["poor"].name in said.error
    assert listed(papertape) == names(kept, *left)


def test_a_folder_of_the_users_is_not_deleted(papertape: Runner, kept: dict[str, Path]) -> None:
    said = papertape("runs", "delete", "tape", "--yes")
    assert said.status == 2
    assert "not a run" in said.error
    assert len(list(Path("tape").iterdir())) == 2


def test_hundreds_of_runs_are_listed_from_their_manifests_alone(
    papertape: Runner, kept: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    for k in range(200):
        shutil.copytree(kept["poor"], Path("runs") / f"20260101T000000Z-TickMomentum-backtest-{k:06}")

    def refuse(*_: object) -> None:
        raise AssertionError("a list reads no rows")

    monkeypatch.setattr("papertape.store.load_record", refuse)
    monkeypatch.setattr("papertape.runs.load_record", refuse)
    assert len(listed(papertape)) == 203


def test_names_from_data_are_shown_harmless(papertape: Runner, here: Path) -> None:
    save_run(a_record(strategy="\x1b[2J<script>"), here / "runs")
    said = papertape("runs")
    assert "\x1b[2J" not in said.out
    assert "<script>" in said.out
