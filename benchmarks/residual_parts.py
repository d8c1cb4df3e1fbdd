"""Which part of an autoencoder's residual finds pneumonia, the coarse or the fine one, at every latent size?

    NORMOSCOPE_DATA=... python benchmarks/residual_parts.py --out results/residual_parts.json

PneumoniaMNIST's official validation images, a declared development oracle: no test label is read. `ae`, one seed,
stopped early on held-out normals. The coarse part is what is left of the residual after averaging over 4 x 4 pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from latent_size import DEVELOPMENT
from machine import facts
from normoscope import methods
from normoscope.candidates import cut
from normoscope.images import batches
from normoscope.metrics import auroc
from normoscope.partitions import partition
from normoscope.sweep import PATIENCE, pool_of
from normoscope.types import Run

CELL = 4
SIZES = (1, 4, 8, 16, 32, 128)


def main() -> None:
    """Fit every size, take its residuals apart, and write what each part tells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/residual_parts.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = partition(DEVELOPMENT["pneumoniamnist, validation"]())
    pool, test = pool_of(data), data.images["test"]
    train, held = (pool.normals.subset(rows) for rows in cut(pool, 0))
    labels = np.asarray([int(bool(sample.label)) for sample in data.samples["test"]])
    result: dict[str, Any] = {
        "what": __doc__.partition("\n")[0],
        "command": "python benchmarks/residual_parts.py " + " ".join(sys.argv[1:]),
        "machine": facts(),
        "sizes": {},
    }
    for size in SIZES:
        recipe: Any = methods.build("ae", overrides={"latent_dim": size, "patience": PATIENCE})
        detector = recipe.fit(train, Run(), held)
        residual = torch.cat([batch - detector.reconstruct(batch) for batch in batches(test)])
        whole = residual.square().mean((1, 2, 3)).double().numpy()
        coarse = F.avg_pool2d(residual, CELL).square().mean((1, 2, 3)).double().numpy()
        parts = {"whole": whole, "coarse": coarse, "fine": whole - coarse}
        result["sizes"][size] = {
            "auroc": {name: auroc(labels, part) for name, part in parts.items()},
            "coarse_share": {c: float(coarse[labels == k].mean() / whole[labels == k].mean())
                             for k, c in enumerate(("normal", "abnormal"))},
        }  # fmt: skip
        print(size, result["sizes"][size], flush=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
