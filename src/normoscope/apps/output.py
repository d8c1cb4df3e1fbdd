"""What commands print: tables for people and one versioned JSON object for machines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DISK_FULL, NormoscopeError, printable

if TYPE_CHECKING:
    from ..model import Model
    from ..transforms import Prepared

__all__ = [
    "SCHEMA",
    "calibration_json",
    "emit",
    "failure",
    "note",
    "plain",
    "printable_lines",
    "stamped",
    "table",
    "unread",
]

SCHEMA = 1
"""Version of every JSON object's layout; it grows when a field changes its meaning."""


def plain(value: Any) -> Any:
    """Return JSON-safe values: NaN and infinity become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def stamped(command: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return JSON-safe content under its schema, by which it is known again where it is stored."""
    return {"schema": f"normoscope/{command}/{SCHEMA}", **plain(content)}


def emit(command: str, content: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result once, in the form asked for; what standard output cannot encode is escaped."""
    text = json.dumps(stamped(command, content), indent=2, allow_nan=False) if as_json else printable_lines(text)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def printable_lines(text: str) -> str:
    """Escape what names from data would do to a terminal; lines stay lines."""
    return "\n".join(printable(line.replace("\N{NO-BREAK SPACE}", " ")) for line in text.split("\n"))


def failure(error: NormoscopeError | OSError) -> str | None:
    """Return the sentence for what a person can mend, None for a fault of the program."""
    if isinstance(error, NormoscopeError):
        return printable_lines(str(error))
    if error.errno in DISK_FULL and error.filename is None:
        return f"{(error.strerror or 'disk full').lower()}."
    if error.filename is None or error.strerror is None:
        return None
    # a full disk, a missing permission, a folder where a file should be: the machine's word on the user's path
    return printable_lines(f"{error.filename2 or error.filename}: {error.strerror.lower()}.")


def note(sentence: str, quiet: bool) -> None:
    """Tell the user something on standard error, on one line whatever names it holds."""
    if not quiet:
        print(f"note: {printable(sentence)}", file=sys.stderr)


def unread(prepared: Prepared) -> list[str]:
    """Name every image that was asked for and could not be read, with its cause."""
    return [f"not read: {problem}" for problem in prepared.problems]


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
