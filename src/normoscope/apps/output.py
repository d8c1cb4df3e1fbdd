"""What commands print, tables for people and one versioned JSON object for machines, and where they write."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["SCHEMA", "Written", "calibration_json", "check_place", "emit", "note", "plain", "table"]

SCHEMA = 1
"""Version of every JSON object's layout; it grows when a field changes its meaning."""


def check_place(given: str | Path, *inside: str, option: str = "--out") -> None:
    """Refuse, before any work is done for it, a path that nothing can be written to.

    Args:
        given: What was typed.
        inside: What is to be written below it; none where it is a file itself.
        option: How it was called.

    Raises:
        OptionError: What should be its folder is a file, or must not be written to.
    """
    above = next(folder for folder in Path(given, *inside).absolute().parents if folder.exists())
    if not above.is_dir():
        raise OptionError(option, str(given), f"a path inside a folder ({above} is a file)")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OptionError(option, str(given), f"a path inside a folder that you may write to ({above} is not)")


class Written(Enum):
    """Kinds of files that commands write, by a text that stands in each and in hardly any other."""

    SCORES = "image_path,pred_score,pvalue,"
    MAPS = "image_path,anomaly_map,"
    PAGE = '<meta name="generator" content="normoscope '
    FIGURES = '"provenance"'
    DRAWING = "<svg"

    def path(self, given: str | Path) -> Path:
        """Return the path to write to, before any work is done for it.

        Raises:
            OptionError: A folder is there, or a file of another kind, which may be the only copy of something; or
                nothing can be written there.
        """
        path = Path(given)
        check_place(path)
        if path.is_dir():
            raise OptionError("--out", str(path), "a file (this is a folder)")
        if path.exists() and not self._wrote(path.read_bytes()):
            raise OptionError("--out", str(path), "a new file, or an earlier result of the same command")
        return path

    def folder(self, given: str | Path, index: str) -> Path:
        """Return the folder to write many files to, before any work is done for it.

        Raises:
            OptionError: It holds files, but not the index of an earlier result: some might be written over.
        """
        folder = Path(given)
        check_place(given, index, option="--maps")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / index).is_file():
            raise OptionError(
                "--maps", str(folder), f"a new or empty folder, or one with the {index} of an earlier result"
            )
        return self.path(folder / index).parent

    def _wrote(self, content: bytes) -> bool:
        """Tell whether a command wrote this; what a model folder holds has its figures' provenance, and a seal."""
        return self.value.encode() in content and not (self is Written.FIGURES and b'"seal": ' in content)


def plain(value: Any) -> Any:
    """Return JSON-safe values: NaN and infinity become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def emit(command: str, content: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result once, in the form asked for."""
    if as_json:
        print(json.dumps({"schema": f"normoscope/{command}/{SCHEMA}", **plain(content)}, indent=2, allow_nan=False))
    else:
        print(text)


def note(sentence: str, quiet: bool) -> None:
    """Tell the user something on standard error."""
    if not quiet:
        print(f"note: {sentence}", file=sys.stderr)


def table(rows: Sequence[Sequence[str]], head: Sequence[str] | None = None) -> str:
    """Align columns with two spaces between them."""
    everything = [*([list(head)] if head else []), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in everything) for i in range(len(everything[0]))] if everything else []
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything
    ]
    if head:
        lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def calibration_json(model: Model) -> dict[str, Any]:
    """Return a model's rule and what it rests on."""
    c = model.calibration
    return {
        "calibrated": c.calibrated,
        "status": c.status,
        "kind": c.kind,
        "false_alarms": c.alpha if c.kind == "conformal" else None,
        "unit": c.unit,
        "n": len(c.scores),
        "rule": None if c.rule is None else {"kind": type(c.rule).__name__.lower(), **c.rule.__dict__},
        "pvalues": c.pvalue_note,
    }
