"""The picture of the README: what `reconciler plan` prints in a real run, in its real colours, as SVG.

The account is the embedded one, and the repository is this project's sample: applied, then edited as told below.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[2]
WIDTH = 120  # columns: the longest line of the plan, its last, fits
SAMPLE = ("platform.yaml", "platform", "customers")
EDITS = (
    ("customers/globex/customer.yaml", "cpu_ms: 80", "cpu_ms: 120"),
    ("customers/globex/shop.mjs", "1999", "2499"),
    ("customers/vandelay/customer.yaml", "suspended: true", "suspended: false"),
    ("customers/initech/customer.yaml", "  hello-world:\n    main: hello.mjs\n", ""),
)

# rich's own frame loads a font from another host; this one takes what the reader's machine has.
_FRAME = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def plan() -> str:
    """A plan with some of everything, drawn."""
    with tempfile.TemporaryDirectory(prefix="reconciler-picture-") as folder:
        printed = _printed(Path(folder))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="standard", force_terminal=True)
    console.print(Text("$ reconciler plan", style="bold"), "", Text.from_ansi(printed), sep="\n", crop=True)
    drawn = console.export_svg(title="reconciler", theme=DIMMED_MONOKAI, code_format=_FRAME, unique_id="plan")
    return "\n".join(line.strip() for line in drawn.splitlines() if line.strip()) + "\n"


def _printed(folder: Path) -> str:
    for name in SAMPLE:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    _reconciler(folder, "apply", "--local", "--yes")
    for name, before, after in EDITS:
        text = (folder / name).read_text(encoding="utf-8")
        assert before in text, f"{name} of the sample no longer holds {before!r}"
        (folder / name).write_text(text.replace(before, after), encoding="utf-8")
    _reconciler(folder, "init", "customer", "soylent")
    return _reconciler(folder, "plan", "--local")


def _reconciler(folder: Path, *words: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *words, "-C", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**kept, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
