"""Open folders as registries: a file's name is its member's name, its docstring what is said of it.

Nothing is imported here, so that help and listings stay fast.
"""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["docstring", "functions", "members"]

PACKAGE = Path(__file__).parent


def members(folder: str) -> list[str]:
    """Return the file names of a folder of this package, without those that begin with an underscore."""
    return sorted(p.stem for p in (PACKAGE / folder).glob("*.py") if not p.stem.startswith("_"))


def docstring(folder: str, name: str) -> str:
    """Read a member's docstring without importing it."""
    tree = ast.parse((PACKAGE / folder / f"{name}.py").read_text(encoding="utf-8"))
    return ast.get_docstring(tree) or ""


def functions(module: str) -> dict[str, str]:
    """Return the functions in a module's `__all__` and the first line of each docstring, in order."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    listed = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and _is_all(node)]
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in listed[0]]
    return {node.name: (ast.get_docstring(node) or "").partition("\n")[0] for node in public}


def _is_all(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
