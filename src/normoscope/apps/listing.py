"""`normoscope list`: what there is, read from file names and docstrings alone."""

from __future__ import annotations

import argparse
import re
from textwrap import wrap

from ..registry import docstring, functions, members
from .output import emit, table

__all__ = ["list_members", "reference"]

_WIDTH = 100


def reference(text: str) -> str:
    """Return the Reference paragraph of a docstring on one line."""
    found = re.search(r"Reference:\s*(.+?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def list_members(args: argparse.Namespace) -> int:
    """Print methods, sources, protocols or metrics."""
    rows: list[dict[str, str]]
    if args.what == "metrics":
        rows = [{"name": name, "what": text} for name, text in functions("metrics").items()]
    else:
        texts = {name: docstring(args.what, name) for name in members(args.what)}
        rows = [{"name": n, "what": t.partition("\n")[0], "reference": reference(t)} for n, t in texts.items()]
    lines: list[list[str]] = []
    for member in rows:
        lines.append([member["name"], member["what"]])
        lines += [["", text] for text in wrap(member.get("reference", ""), _WIDTH)]
    emit("list", {args.what: rows}, table(lines, [args.what, "what it is"]), args.json)
    return 0
