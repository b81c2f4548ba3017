"""Draw report.svg: the table of the README's strategy on the synthetic sample, as a terminal shows it.

Run it from the checkout: ``.venv/bin/python docs/images/draw_report.py``.
"""  # noqa: INP001 - a program beside what it makes

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLUMNS = 100
COMMANDS = ("sample sample --symbols 10 --days 3", "backtest jumps.py --data sample")
TITLE = "papertape backtest jumps.py --data sample   (synthetic market)"


def strategy() -> str:
    """The first Python block of the README."""
    readme = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert found is not None, "the README shows a strategy"
    return found[1]


def terminal(words: list[str], folder: Path) -> str:
    """What a command of papertape prints to a terminal of COLUMNS, with its colours."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONPATH": str(HERE.parents[1]), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "papertape", *words],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.close(theirs)
        printed = bytearray()
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            printed += piece
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"papertape {' '.join(words)} ended with {process.returncode}")
    return printed.decode().replace("\r\n", "\n")


def draw() -> str:
    """The picture as SVG that asks no server for a font."""
    from rich.console import Console
    from rich.text import Text

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "jumps.py").write_text(strategy(), encoding="utf-8")
        for command in COMMANDS:
            printed = terminal(command.split(), Path(folder))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(printed.rstrip()))
        svg = console.export_svg(title=TITLE, unique_id="report")
    svg = re.sub(r"\s*@font-face\s*{.*?}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("#868887", "#a8aaa9")  # what is dim must be readable where the picture is shown at two thirds
    svg = svg.replace("Fira Code, monospace", "Menlo, Consolas, DejaVu Sans Mono, monospace")
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


if __name__ == "__main__":
    (HERE / "report.svg").write_text(draw(), encoding="utf-8")
