"""A protocol's outcome as JSON, Markdown and LaTeX."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ._data import Absent
from ._shape import Outcome

__all__ = ["as_json", "latex", "markdown"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
    "λ": r"$\lambda$",
    "γ": r"$\gamma$",
    "σ": r"$\sigma$",
    "μ": r"$\mu$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "−": "$-$",
    "‖": r"$\|$",
    "²": "$^2$",
}


def as_json(outcome: Outcome, absent: Sequence[Absent], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables, claims, absent data, numbers and provenance as plain values; figures by their file names."""
    return {
        "tables": [dataclasses.asdict(table) for table in outcome.tables],
        "figures": [{"file": f"{figure.name}.svg", "title": figure.title} for figure in outcome.figures],
        "claims": [{**dataclasses.asdict(claim), "verdict": claim.verdict.value} for claim in outcome.claims],
        "absent": [dataclasses.asdict(data) | {"message": str(data)} for data in absent],
        "numbers": outcome.numbers,
        "provenance": dict(provenance),
    }


def markdown(content: Mapping[str, Any]) -> str:
    """Return tables, figures, claims and absent data as Markdown, from `as_json`."""
    parts = []
    for table in content["tables"]:
        notes = "".join(f"\n- {note}" for note in table["notes"])
        parts.append(f"### {table['title']}\n\n{_grid(table['columns'], table['rows'])}\n{notes}")
    parts += [f"### {figure['title']}\n\n![{figure['title']}]({figure['file']})" for figure in content["figures"]]
    if content["claims"]:
        columns = ["claim", "where", "verdict", "why", "cell"]
        rows = [[claim["text"], *(claim[column] for column in columns[1:])] for claim in content["claims"]]
        parts.append(f"### Claims\n\n{_grid(columns, rows)}")
    if content["absent"]:
        parts.append("### Not run\n\n" + "\n".join(f"- {data['message']}" for data in content["absent"]))
    made = content["provenance"]
    parts.append(f"Made {made['created'][:10]} by `{made['command']}` at commit {made['commit']}.{_where(made)}")
    return "\n\n".join(parts) + "\n"


def _where(made: Mapping[str, Any]) -> str:
    """Say when and on what the jobs ran, which may have been in pieces and elsewhere."""
    if not made["where"]:
        return ""
    machines: Counter[str] = Counter()
    for one in made["where"]:
        machines[f"{one['processor']}, {one['precision']}"] += one["jobs"]
    jobs, several = made["jobs"], len(machines) > 1
    listed = "; ".join(name + f": {count}" * several for name, count in sorted(machines.items()))
    days = " to ".join(dict.fromkeys((made["first"][:10], made["last"][:10])))
    return f" {jobs['done']} of {jobs['asked']} jobs ran, {days}, on {listed}."


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [columns, *rows]]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]])


def latex(content: Mapping[str, Any]) -> str:
    """Return the tables as LaTeX with booktabs' rules, from `as_json`."""
    parts = ["% needs \\usepackage{adjustbox, booktabs}"]
    for table in content["tables"]:
        rows = [" & ".join(map(_escaped, row)) + r" \\" for row in table["rows"]]
        head = " & ".join(map(_escaped, table["columns"])) + r" \\"
        lines = [
            r"\begin{adjustbox}{max width=\textwidth}",
            r"\begin{tabular}{" + "l" * len(table["columns"]) + "}",
            *(r"\toprule", head, r"\midrule", *rows, r"\bottomrule"),
            r"\end{tabular}",
            r"\end{adjustbox}",
        ]
        body = "\n".join(lines)
        notes = " ".join(_escaped(note) + "." for note in table["notes"])
        caption = f"\\caption{{{_escaped(table['title'])}. {notes}}}"
        parts.append("\n".join([r"\begin{table}", r"\centering", body, caption, r"\end{table}"]))
    return "\n\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
