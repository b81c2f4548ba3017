"""What is said on the command line comes before the environment, and that before the file."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.settings import Settings
from feeds.load import DataOptions
from papertape import GuardSettings
from papertape.cli.backtest import _GUARD_NAMES, backtest
from papertape.cli.live import live
from papertape.cli.paper import paper
from papertape.cli.trading_options import LIVE_GUARD_NAMES, LIVE_NAMES
from papertape.config import BacktestConfig, GuardConfig, LiveConfig, configure, read_environment
from papertape.core.errors import ConfigError

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

FILE = """
strategy = "my_jumps.py"
data = "tape"
cash = 1000.0
start = 2024-06-03
fees = "none"

[parameters]
up = 0.05
quantity = 2

[guard]
max_drawdown = "50%"
"""


@pytest.fixture
def toml(here: Path) -> Path:
    (here / "run.toml").write_text(FILE)
    return here / "run.toml"


def cash_and_quantity(papertape: Runner, *options: str, **environment: str) -> tuple[float, float]:
    said = papertape("backtest", "run.toml", "--json", *options, **environment)
    assert said.status == 0, said.error
    summary = json.loads(said.out)
    return summary["starting_equity"], summary["positions"]["BBB"]


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(papertape: Runner, toml: Path) -> None:
    environment = {"PAPERTAPE__CASH": "2000", "PAPERTAPE__PARAMETERS__QUANTITY": "3"}
    assert cash_and_quantity(papertape) == (1000.0, 2.0)
    assert cash_and_quantity(papertape, **environment) == (2000.0, 3.0)
    assert cash_and_quantity(papertape, "--cash", "3000", "--set", "quantity=4", **environment) == (3000.0, 4.0)


def test_the_environment_holds_without_a_file_too(papertape: Runner) -> None:
    said = papertape("backtest", "my_jumps.py", "--json", PAPERTAPE__DATA="tape", PAPERTAPE__CASH="5e4")
    assert json.loads(said.out)["starting_equity"] == 50_000.0


def test_a_parameter_of_any_case_can_be_set_from_the_environment(papertape: Runner) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape", PAPERTAPE__PARAMETERS__LABEL="mine")
    assert "Label mine" in said.out


def test_paths_in_a_file_are_meant_from_its_folder(
    papertape: Runner, toml: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert papertape("backtest", toml).status == 0
    assert list(elsewhere.iterdir()) == [Path(elsewhere / "runs")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cahs = 1", 'unknown key "cahs"; did you mean "cash"?'),
        ("[guard]\nmax_drawdon = 1", 'unknown key "guard.max_drawdon"; did you mean "max_drawdown"?'),
        ("cash = 'much'", "cash = 'much': should be a valid number"),
        ("[guard.cash_floor]\nUSD = 'x'", "guard.cash_floor.USD = 'x': should be a valid number"),
        ("limit_fill = 'at'", "limit_fill = 'at': should be 'through' or 'touch'"),
        ("cash = ", "Invalid value"),
    ],
)
def test_what_a_file_may_not_say_is_refused_by_its_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text + "\n")
    with pytest.raises(ConfigError) as caught:
        configure({}, file, {})
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variable", ["PAPERTAPE__CAHS", "PAPERTAPE__GUARD__FLATEN", "PAPERTAPE__GUARD____FLATTEN"])
def test_an_unknown_variable_with_our_prefix_is_refused(variable: str) -> None:
    with pytest.raises(ConfigError, match="environment"):
        configure({}, None, {variable: "1"})


def test_variables_of_others_are_not_read() -> None:
    assert configure({}, None, {"PAPERTAPE_CACHE": "/x", "CASH": "3"}) == BacktestConfig()


def test_the_environment_nests_and_splits_lists() -> None:
    config = configure(
        {},
        None,
        {
            "PAPERTAPE__GUARD__CASH_FLOOR__USD": "10",
            "PAPERTAPE__GUARD__FLATTEN": "true",
            "PAPERTAPE__SYMBOLS": "A, B",
            "PAPERTAPE__GRID__UP": "1,2",
        },
    )
    assert config.guard.cash_floor == {"USD": 10.0}
    assert config.guard.flatten is True
    assert config.symbols == ["A", "B"]
    assert config.grid == {"up": ["1", "2"]}


def test_a_parameter_that_is_set_nearer_is_no_longer_one_of_the_files_grid(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[grid]\nup = [1, 2]\ndown = [3]\n")
    assert configure({"parameters": {"up": "5"}}, file, {}).grid == {"down": [3]}


numbers = st.dictionaries(st.sampled_from(["cash", "margin", "volume_share", "risk_free"]), st.floats(0, 1e9))


@given(file=numbers, environment=numbers, line=numbers)
def test_each_value_comes_from_the_nearest_that_says_one(
    file: dict[str, float], environment: dict[str, float], line: dict[str, float],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("files") / "run.toml"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in file.items()))
    variables = {f"PAPERTAPE__{name.upper()}": repr(value) for name, value in environment.items()}
    config = configure(line, path, variables)
    for name in ("cash", "margin", "volume_share", "risk_free"):
        expected = next((said[name] for said in (line, environment, file) if name in said), None)
        assert getattr(config, name) == expected


def test_a_name_that_is_both_a_value_and_a_section_is_refused() -> None:
    with pytest.raises(ConfigError, match="both a value and a section"):
        read_environment({"PAPERTAPE__GUARD": "1", "PAPERTAPE__GUARD__FLATTEN": "1"})


def test_every_setting_has_a_key_and_every_key_an_option() -> None:
    keys = set(BacktestConfig.__dataclass_fields__)
    own_names = {"conflate_ns": "conflate", "scan_file": "scans"}
    settings = {
        own_names.get(name, name) for name in (*Settings.__dataclass_fields__, *DataOptions.__dataclass_fields__)
    }
    assert settings <= keys
    assert set(GuardSettings.__dataclass_fields__) == set(GuardConfig.__dataclass_fields__)
    own_options = {"parameters": "parameter", "cache": "no_cache"}
    options = set(inspect.signature(backtest).parameters)
    assert {own_options.get(name, name) for name in keys - {"guard", "live"}} <= options
    assert set(_GUARD_NAMES) <= options
    of_paper, of_live = (set(inspect.signature(verb).parameters) for verb in (paper, live))
    assert set(LIVE_NAMES) <= of_paper | of_live
    assert set(LIVE_NAMES.values()) == set(LiveConfig.__dataclass_fields__)
    limits = {**_GUARD_NAMES, **LIVE_GUARD_NAMES}
    assert set(limits) <= of_paper & of_live
    assert set(limits.values()) == set(GuardConfig.__dataclass_fields__)
