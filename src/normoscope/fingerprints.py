"""Who is training what on which machine, in a few words that can be compared later."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .types import Images, Run

__all__ = ["circumstances", "code_fingerprint", "data_fingerprint", "network_fingerprint", "processor"]

_LOOKED_AT = 512


def data_fingerprint(images: Images) -> str:
    """Hash the shape and up to 512 images, evenly spread."""
    count = len(images)
    rows = np.unique(np.linspace(0, count - 1, min(count, _LOOKED_AT)).round().astype(np.int64))
    digest = hashlib.sha256(repr(images.shape).encode())
    for start in range(0, len(rows), 64):
        digest.update(images.batch(rows[start : start + 64]).numpy().tobytes())
    return digest.hexdigest()[:16]


def network_fingerprint(module: nn.Module) -> str:
    """Hash names and shapes of everything a checkpoint of the module holds."""
    shapes = [(name, tuple(value.shape)) for name, value in module.state_dict().items()]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]


def processor() -> str:
    """Return the processor's type, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        return f"{fields['model name']}, family {fields['cpu family']} model {fields['model']}"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def circumstances(run: Run) -> dict[str, Any]:
    """Return everything under which results are equal to the last bit, beside seed, data and recipe."""
    device = run.torch_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "processor": name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "precision": str(run.autocast_dtype).removeprefix("torch."),
        "torch": torch.__version__,
    }


@cache
def code_fingerprint(modules: tuple[str, ...]) -> str:
    """Hash the code of these modules and of all they import from this package, directly or not.

    Comments, docstrings and layout do not count, nor do modules that compute nothing (the wording of errors, listings,
    the version) or find data, for data are known by the hash of their pixels.
    """
    root = __name__.partition(".")[0]
    silent = {root, *(f"{root}.{name}" for name in ("errors", "registry", "_version", "sources", "protocols._data"))}
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        spec = None if name in found or name in silent else importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        tree = ast.parse(Path(spec.origin).read_bytes())
        found[name] = ast.dump(_Undocumented().visit(tree))
        waiting += _imported(tree, name if spec.submodule_search_locations else name.rpartition(".")[0], root)
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:20]


class _Undocumented(ast.NodeTransformer):
    """Takes texts out that stand alone, as docstrings do."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else node


def _imported(tree: ast.Module, package: str, root: str) -> Iterator[str]:
    """Name the modules that a module imports from this package, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == root)
        if not isinstance(node, ast.ImportFrom):
            continue
        relative = "." * node.level + (node.module or "")
        base = importlib.util.resolve_name(relative, package) if node.level else relative
        if base.partition(".")[0] == root:
            yield base
            yield from (name for alias in node.names if _is_module(name := f"{base}.{alias.name}"))


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, not a package
        return False
