"""`normoscope rank`: methods ranked over stored comparisons, and tested where there are data sets enough."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import ranking
from ..errors import LayoutError, OptionError
from ..ranking import Ranking
from ..written import Written, read_json
from .output import emit, note, table

__all__ = ["rank"]

_SAME = {"pneumoniamnist": "chest_xray"}  # both are cut from the X-rays of Kermany et al.
_SIZE = re.compile(r"([-_ ]?(\d+x)?\d+(px)?)+$", re.IGNORECASE)


@dataclass(frozen=True)
class _Stored:
    """One stored comparison.

    Args:
        file: Where it is stored.
        data: Name of its data set.
        preset: Of its methods.
        aurocs: AUROC of each row that saw no labels.
    """

    file: str
    data: str
    preset: str
    aurocs: Mapping[str, float]


def rank(args: argparse.Namespace) -> int:
    """Print the rank table and what may be concluded; draw the critical-difference plot if asked to."""
    if len({Path(file).resolve() for file in args.files}) < len(args.files):
        raise OptionError("FILE", " ".join(args.files), "every file once")
    stored = [_read(file) for file in args.files]
    origin = _origins(args.source, stored)
    shared = [name for name in stored[0].aurocs if all(name in one.aurocs for one in stored)]
    if len(shared) < 2:
        raise OptionError("FILE", ", ".join(shared), "files that share at least two rows which saw no labels")
    values = {one.file: {name: one.aurocs[name] for name in shared} for one in stored}
    found = ranking.rank(values, origin)
    if args.out:
        _draw(found, Written.RANKS.path(args.out))
    left_out = sorted({name for one in stored for name in one.aurocs} - set(shared))
    for sentence in _notes(stored, origin, left_out):
        note(sentence, args.quiet)
    content = {
        "measure": "auroc",
        "files": {one.file: {"data": one.data, "source": origin[one.file]} for one in stored},
        "left_out": left_out,
        **found.to_json(),
    }
    emit("rank", content, _text(found), args.json)
    return 0


def _read(file: str) -> _Stored:
    try:
        content = read_json(Path(file))
        rows = {name: row["auroc"]["value"] for name, row in content["rows"].items() if row["honest"]}
        data = Path(content["data"].partition(":")[2] or content["data"]).stem
        aurocs = {name: float(value) for name, value in rows.items() if value is not None}
        return _Stored(file, data, content["preset"], aurocs)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LayoutError(file, "a table that 'normoscope compare --out' wrote", "something else") from None


def _origins(given: Sequence[str], stored: Sequence[_Stored]) -> dict[str, str]:
    """Return the source of each file's data: as given, else as known, else its name without the size at its end."""
    bare = {one.file: _SIZE.sub("", one.data.lower()) or one.data for one in stored}
    origins = {file: _SAME.get(stem, stem) for file, stem in bare.items()}
    for text in given:
        name, _, origin = text.rpartition("=")
        meant = [one.file for one in stored if name in (one.data, one.file)]
        if not meant or not origin:
            known = ", ".join(dict.fromkeys(one.data for one in stored))
            raise OptionError("--source", text, f"NAME=ORIGIN with NAME a FILE or one of {known}")
        origins |= dict.fromkeys(meant, origin)
    return origins


def _notes(stored: Sequence[_Stored], origin: Mapping[str, str], left_out: Sequence[str]) -> list[str]:
    """Say what the table does not."""
    notes = []
    for source in dict.fromkeys(origin.values()):
        files = [one.file for one in stored if origin[one.file] == source]
        if len(files) > 1:
            notes.append(f"one source, counted once, as {source}: {', '.join(files)}")
    if left_out:
        notes.append(f"left out, for not every file has them: {', '.join(left_out)}")
    if len(presets := {one.preset for one in stored}) > 1:
        notes.append(f"the files were made with different presets: {', '.join(sorted(presets))}")
    return notes


def _draw(found: Ranking, out: Path) -> None:
    if found.test is None:
        raise OptionError("--out", str(out), f"to be used where there is a test ({found.verdict})")
    from ..rank_figure import critical_difference_plot
    from ..written import write_atomically

    write_atomically(out, critical_difference_plot(found))


def _text(found: Ranking) -> str:
    rows = [
        [name, f"{mean:.2f}", *(f"{rank:g}" for rank in ranks)]
        for name, mean, ranks in zip(found.methods, found.mean_ranks, found.ranks.T, strict=True)
    ]
    return f"{table(rows, ['method', 'mean rank', *found.sources])}\n\n{found.verdict}"
