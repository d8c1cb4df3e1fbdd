"""Learn what healthy looks like from normal medical images alone; score, localise and explain what deviates.

    import normoscope as ns

    data = ns.partition(ns.load("medmnist:pneumoniamnist", normal_class="normal"))
    model = ns.fit("knn", ns.build("knn"), data)
    print(ns.assess(model, data.collection).evaluation.table())
    ns.save_model(model, "model")

Names are imported when first used, so `import normoscope` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .comparison import Recipe, assess, compare
    from .decoding import read_image
    from .errors import NormoscopeError
    from .heatmaps import overlay, write_maps
    from .images import as_images
    from .methods import build
    from .model import Model, fit
    from .partitions import partition
    from .persistence import load_model, save_model
    from .report import write_report
    from .scoring import Scoring
    from .sources import load
    from .transforms import Preprocessing
    from .types import Run, Sample

__all__ = [
    "Model",
    "NormoscopeError",
    "Preprocessing",
    "Recipe",
    "Run",
    "Sample",
    "Scoring",
    "__version__",
    "as_images",
    "assess",
    "build",
    "compare",
    "fit",
    "load",
    "load_model",
    "overlay",
    "partition",
    "read_image",
    "save_model",
    "write_maps",
    "write_report",
]

_HOME = {
    "Model": "model",
    "NormoscopeError": "errors",
    "Preprocessing": "transforms",
    "Recipe": "comparison",
    "Run": "types",
    "Sample": "types",
    "Scoring": "scoring",
    "as_images": "images",
    "assess": "comparison",
    "build": "methods",
    "compare": "comparison",
    "fit": "model",
    "load": "sources",
    "load_model": "persistence",
    "overlay": "heatmaps",
    "partition": "partitions",
    "read_image": "decoding",
    "save_model": "persistence",
    "write_maps": "heatmaps",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'normoscope' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
