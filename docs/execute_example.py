"""Execute example.ipynb anew, so that what it shows is what this checkout does.

Run it from the checkout: ``.venv/bin/python docs/execute_example.py``.
"""  # noqa: INP001 - a program beside what it makes

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parent / "example.ipynb"
ROOT = NOTEBOOK.parents[1]
TIMEOUT_S = 600
"""For one cell; the first backtest on a machine compiles the engine."""


def executed(notebook: Path = NOTEBOOK) -> Any:
    """The notebook with all cells executed in an empty folder, without times and versions of this machine."""
    import nbformat
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        # What IPython keeps of a session goes with the folder, and the program is this checkout's.
        own = {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": f"{folder}/runtime", "PYTHONPATH": str(ROOT)}
        own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, **own, "COLUMNS": "80", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        work = Path(folder) / "work"
        work.mkdir()
        client = NotebookClient(
            content, timeout=TIMEOUT_S, kernel_name="python3", record_timing=False, coalesce_streams=True,
            resources={"metadata": {"path": str(work)}},
        )  # fmt: skip
        client.execute(env=environment)
    for cell in content.cells:
        cell.metadata.clear()
    content.metadata.clear()
    content.metadata.update({
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    })  # fmt: skip
    return content


def main() -> None:
    """Execute it and write it back."""
    import nbformat

    nbformat.write(executed(), NOTEBOOK)
    sys.stdout.write(f"executed {NOTEBOOK.name}\n")


if __name__ == "__main__":
    main()
