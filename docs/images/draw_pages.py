"""Draw report.png and comparison.png: pages of the README's strategy on the synthetic sample, as a browser shows them.

Run it from the checkout: ``.venv/bin/python docs/images/draw_pages.py``. It needs Chromium.
"""  # noqa: INP001 - a program beside what it makes

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COMMANDS = (
    "sample sample --symbols 10 --days 3",
    "backtest jumps.py --data sample",
    "report last --html report.html",
    "backtest sma_cross --data sample --grid fast=5,10,20 --grid slow=30,60",
)
"""As the README has them; then all runs of the grid are compared."""
WIDTH, HEIGHT = 1440, 1212
PICTURES = {"report.png": ("report.html", "light"), "comparison.png": ("compared.html", "dark")}


def strategy() -> str:
    """The first Python block of the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme.split("```python\n", 1)[1].split("```", 1)[0]


def papertape(words: list[str], folder: Path) -> None:
    """Run a command of this checkout's papertape."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "papertape", *words], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"papertape {' '.join(words)} ended with {done.returncode}: {done.stderr}")


def make_pages(folder: Path) -> None:
    """Write the pages that are drawn into a folder."""
    (folder / "jumps.py").write_text(strategy(), encoding="utf-8")
    for command in COMMANDS:
        before = set((folder / "runs").glob("*"))
        papertape(command.split(), folder)
    grid = sorted(str(run) for run in set((folder / "runs").glob("*")) - before)
    papertape(["compare", *grid, "--html", "compared.html"], folder)


def compressed(screenshot: bytes) -> bytes:
    """A screenshot as a PNG without transparency, packed as small as it goes."""
    from PIL import Image

    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    written = io.BytesIO()
    image.save(written, "PNG", optimize=True)
    return written.getvalue()


def draw() -> None:
    """Write the pictures beside this program."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("the pages are drawn by Chromium; install it (Debian: apt-get install chromium)")
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        make_pages(folder)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if is_root else [])
        for picture, (page_name, scheme) in PICTURES.items():
            size = {"width": WIDTH, "height": HEIGHT}
            page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto((folder / page_name).as_uri())
            page.wait_for_selector("html[data-ready=true]")
            (HERE / picture).write_bytes(compressed(page.screenshot()))
        browser.close()


if __name__ == "__main__":
    draw()
