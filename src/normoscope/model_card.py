"""The page that lies in every model folder: what it is for, what it was made of, what to know.

Model --> README.md
"""

from __future__ import annotations

from . import methods
from .model import Model

__all__ = ["model_card"]


def model_card(model: Model) -> str:
    """Write the model card: intended use first, then what it was made of."""
    p = model.provenance
    fields = "\n".join(_row(key, value) for key, value in methods.to_json(model.recipe).items()) or _row("-", "-")
    command = f"`{p['command']}`" if p["command"] else "Python"
    notes = "\n".join(f"- {note}" for note in p["notes"]) or "- none"
    counts = ", ".join(f"{part} {count}" for part, count in p["data"]["counts"].items())
    return f"""# normoscope model: {model.method}

**Research use. Not a medical device.** It orders images by how far they deviate from the normal images it was
fitted on. It has not been validated for diagnosis, triage or any decision about a patient.

| | |
|---|---|
{_row("method", f"{model.method} (preset {model.preset})")}
{_row("data", f"{p['data']['spec']}, normal class {p['data']['normal_class']}")}
| images | {counts} |
| split | {p["split"]["rule"]}; by patient: {"yes" if p["split"]["by_patient"] else "no"} |
| image size | {model.preprocessor.size} px, {model.preprocessor.channels} channel(s), {model.preprocessor.depth} |
| score | {model.scored_by} |
| rule | {model.calibration.status} |
| p-values | {model.calibration.pvalue_note} |
| seed | {p["seed"]} |
| created | {p["created"]} with normoscope {p["versions"]["normoscope"]} |
{_row("command", command)}

## Hyperparameters

| name | value |
|---|---|
{fields}

## What to know

- Scores are raw: higher is more anomalous, they are not probabilities and not in 0-1.
- The false-alarm guarantee is marginal and holds for normals exchangeable with the calibration normals, not for
  another scanner, age group or year.
{notes}
"""


def _row(name: str, value: object) -> str:
    """Write one row; a bar, as regular expressions hold, would begin another cell."""
    escaped = str(value).replace("|", "\\|")
    return f"| {name} | {escaped} |"
