"""Do the tests notice? Breaks one line of mathematics at a time in a copy of the package, and runs the tests.

    python tests/mutations.py          # exits 1 if a break survives

Not part of the test suite: it runs parts of it again and again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

BREAKS = [
    (
        "score sign flipped",
        "nn/detector.py",
        "lambda x: self.pixel_scores(x).mean((1, 2))",
        "lambda x: -self.pixel_scores(x).mean((1, 2))",
        "tests/contracts/test_methods.py -k planted_anomalies_score_higher",
    ),
    (
        "centre not detached (the batch's own mean)",
        "methods/conocc.py",
        "(latent - network.center).square()",
        "(latent - latent.mean(0)).square()",
        "tests/test_conocc.py",
    ),
    ("KL dropped", "methods/vae.py", " + self.kl_weight * kl", "", "tests/test_vae.py"),
    (
        "memory bypassed",
        "methods/memae.py",
        "return self.recall(self.memory.address(latent))",
        "return super().decode(latent)",
        "tests/test_memae.py",
    ),
    (
        "energy sign flipped",
        "nn/mixture.py",
        "return -torch.logsumexp(",
        "return torch.logsumexp(",
        "tests/test_dagmm.py",
    ),
    (
        "radius at the wrong quantile",
        "nn/ball.py",
        "torch.quantile(squares.double().sqrt(), 1 - nu)",
        "torch.quantile(squares.double().sqrt(), nu)",
        "tests/test_deep_svdd.py",
    ),
    (
        "every image of a patient measured as a stranger",
        "estimates.py",
        "if len(np.unique(unit)) == n:",
        "if True:",
        "tests/test_entropy.py -k patient",
    ),
    (
        "information keeps the bias of few images",
        "information.py",
        "half + shortfall(n, min(as_many, n - 2))",
        "half",
        "tests/test_information.py",
    ),
    (
        "a code of rounded latents that has seen the image",
        "rounding.py",
        "own * math.erf(0.5 / width / math.sqrt(2))",
        "0",
        "tests/test_rounding.py",
    ),
    (
        "held-out normals' spread counted twice",
        "selection.py",
        "own = max(0.0, 1 - of_normals / between) if between > 0 else 0.0",
        "own = 1.0",
        "tests/test_selection.py -k redraws_vary",
    ),
    (
        "a worse phase kept",
        "methods/_gating.py",
        "not has < had",
        "False",
        "tests/test_dual_encoder.py",
    ),
    (
        "log-variance left out of the loss",
        "methods/aeu.py",
        "return (weighted + log_variance).mean((1, 2, 3))",
        "return weighted.mean((1, 2, 3))",
        "tests/test_ae.py -k uncertain",
    ),
    (
        "occluded channels counted again and again",
        "attribution.py",
        "return found / channels",
        "return found",
        "tests/test_explanation.py -k attributions_of_colour",
    ),
    (
        "shares against the latent vector's origin, not the normals",
        "shapley.py",
        "usual = value.terms(normals).mean(0)",
        "usual = value.terms(np.zeros_like(normals)).mean(0)",
        "tests/test_shapley.py -k squared_distance",
    ),
    (
        "too few normals drawn",
        "shapley.py",
        "max(_FEWEST, _BUDGET // walked)",
        "max(4, _BUDGET // walked)",
        "tests/test_shapley.py -k many_dimensions",
    ),
    (
        "the map's lowest pixels replaced first",
        "faithfulness.py",
        "np.lexsort((rng.random(len(values)), -values))",
        "np.lexsort((rng.random(len(values)), values))",
        "tests/test_faithfulness.py -k partial_sums",
    ),
    (
        "a hit anywhere in the image",
        "lesions.py",
        "np.any(marked & self.masks, axis=(1, 2))",
        "np.any(marked, axis=(1, 2))",
        "tests/test_lesions.py",
    ),
    (
        "weights kept where they are to be drawn anew",
        "randomisation.py",
        "            reset()\n",
        "",
        "tests/test_randomisation.py",
    ),
    (
        "moments not pooled over neighbours",
        "methods/local_gaussian.py",
        "mean = derived(total / count, pooled)",
        "mean = total / count",
        "tests/test_local_gaussian.py -k pooled_moments",
    ),
    (
        "texture not described",
        "methods/local_gaussian.py",
        "derived(wave.square(), self.pooled)",
        "0 * derived(wave.square(), self.pooled)",
        "tests/test_local_gaussian.py -k texture",
    ),
    (
        "checks of the first images only",
        "map_kinds.py",
        "np.linspace(0, count - 1, min(count, CHECKED)).astype(np.int64)",
        "np.arange(min(count, CHECKED))",
        "tests/test_sanity.py -k same_images",
    ),
    (
        "as many false alarms not counted as more",
        "calibration.py",
        "number.sf(flagged - 1)",
        "number.sf(flagged)",
        "tests/test_calibration.py",
    ),
    (
        "ties taken for a surprise",
        "calibration.py",
        "1.0 if self._tied else number.cdf(flagged)",
        "number.cdf(flagged)",
        "tests/test_calibration.py",
    ),
    (
        "a patient's two classes taken as independent",
        "delong.py",
        "2 * len(names) / max(1, len(names) - 1) * float(sums[0] @ sums[1])",
        "0.0",
        "tests/test_delong.py",
    ),
    (
        "few patients taken for many",
        "delong.py",
        "min(freedom, len(names) - 1) if shared else freedom",
        "math.inf",
        "tests/test_delong.py",
    ),
    (
        "images counted twice beside seeds",
        "statistics.py",
        "common = of_images - sum(",
        "common = of_images - 0 * sum(",
        "tests/test_delong.py",
    ),
    (
        "the shorter arm's seeds forgotten",
        "statistics.py",
        "several = [arm for arm in arms if",
        "several = [arm for arm in arms[:1] if",
        "tests/test_delong.py",
    ),
    (
        "few seeds taken for many",
        "statistics.py",
        "stdtrit(free, tail)) for",
        "ndtri(tail)) for",
        "tests/test_delong.py",
    ),
    (
        "baselines beaten without correction",
        "summary.py",
        "holm(np.asarray([found.margins[name].pvalue for name in rivals]))",
        "np.asarray([found.margins[name].pvalue for name in rivals])",
        "tests/test_report.py",
    ),
    ("bands of zero width", "bands.py", "known = low < high", "known = low <= high", "tests/test_bands.py"),
    (
        "candidates in another precision",
        "candidates.py",
        'Run(seed, arguments["device"], arguments["precision"], checkpoint',
        'Run(seed, arguments["device"], checkpoint',
        "tests/test_sweep.py -k precision",
    ),
    (
        "one reading of false alarms",
        "protocols/_twente_claims.py",
        'for on in ("false_alarms", "on_all") if on in rate]',
        'for on in ("false_alarms",) if on in rate]',
        "tests/test_twente_claims.py",
    ),
    (
        "one kind of rivals",
        "protocols/_dual_claims.py",
        "ahead = truths[0] if len({*truths}) == 1 else None",
        "ahead = truths[0]",
        "tests/test_dual_encoder_protocol.py -k more_accurate",
    ),
    (
        "the paper's own figures the wrong way round",
        "protocols/_conocc_claims.py",
        "if theirs > own",
        "if theirs < own",
        "tests/test_conocc2020.py -k hold_fail_or_wait",
    ),
    (
        "a normal's nearest may be of the same patient",
        "neighbours.py",
        "np.arange(len(latents)) if patients is None else patients",
        "np.arange(len(latents))",
        "tests/test_explanation.py -k another_patient",
    ),
    (
        "every image of a patient sets the heatmaps' scale",
        "model.py",
        "    if patients and None not in patients:\n        peaks =",
        "    if False:\n        peaks =",
        "tests/test_heatmaps.py -k one_patient_set",
    ),
    (
        "scans of one patient are patients",
        "sources/brats.py",
        "return self.name if match is None else match[1]",
        "return self.name",
        "tests/test_brats.py -k stay_together",
    ),
    (
        "a segmentation's place is not looked at",
        "sources/brats.py",
        "    check_places(path, image)\n",
        "",
        "tests/test_brats.py -k lies_elsewhere",
    ),
]


def survives(file: str, before: str, after: str, tests: str) -> bool:
    """Break a copy and say whether the tests still pass."""
    with tempfile.TemporaryDirectory(prefix="normoscope-mutation-") as name:
        copy = Path(name)
        for folder in ("src", "tests"):
            shutil.copytree(ROOT / folder, copy / folder)
        shutil.copy(ROOT / "pyproject.toml", copy)
        target = copy / "src" / "normoscope" / file
        text = target.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{file} holds {before!r} {text.count(before)} times"
        target.write_text(text.replace(before, after), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
        environment = os.environ | {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=copy, env=environment, capture_output=True).returncode == 0


def main() -> int:
    """Try every break."""
    alive = 0
    for name, *how in BREAKS:
        survived = survives(*how)
        alive += survived
        print(f"{'SURVIVES' if survived else 'noticed':9} {name}", flush=True)
    return int(alive > 0)


if __name__ == "__main__":
    sys.exit(main())
