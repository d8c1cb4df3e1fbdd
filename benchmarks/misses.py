"""Which lesions of 0.5 to 3 % of the area does the default method's map not point at, and how near does it come?

    python benchmarks/misses.py --out results/misses.json

The phantom's test lesions of seeds 0 to 4, by kind. "Near" is the tolerance of the pointing game's authors: 15 pixels
at 224 a side (Zhang et al., ECCV 2016).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from machine import facts
from normoscope import methods
from normoscope.faithfulness import pointing
from normoscope.partitions import partition
from normoscope.sanity import SMALL
from normoscope.sources import load
from normoscope.types import Localizes, Run
from normoscope.written import write_atomically

NEAR = 15 / 224


def main() -> None:
    """Fit, point, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default=methods.DEFAULT)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/misses.json"))
    args = parser.parse_args()
    lesions: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    near: Counter[str] = Counter()
    for seed in range(args.seeds):
        data = partition(load("phantom", options={"seed": str(seed)}))
        detector = methods.build(args.method).fit(data.images["train"], Run(seed=seed), data.images["select"])
        assert isinstance(detector, Localizes)
        for row, sample in enumerate(data.samples["test"]):
            mask = data.preprocessor.mask(sample.read_mask()) if sample.label and sample.read_mask else np.zeros(1)
            if not SMALL[0] <= mask.mean() <= SMALL[1]:
                continue
            pixels = detector.anomaly_map(data.images["test"].batch(np.array([row])))[0].numpy()
            kind = str(sample.class_name)
            lesions[kind] += 1
            hits[kind] += pointing(pixels, mask) > 0
            near[kind] += pointing(pixels, mask, NEAR * len(mask)) > 0
    result = {
        "what": __doc__.partition("\n")[0],
        "command": "python benchmarks/misses.py " + " ".join(sys.argv[1:]),
        "machine": facts(),
        "method": args.method,
        "kinds": {kind: {"lesions": n, "hit": hits[kind], "near": near[kind]} for kind, n in lesions.items()},
    }
    for name, count in (("hit", hits), ("near", near)):
        result[name] = count.total() / lesions.total()
    write_atomically(args.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
