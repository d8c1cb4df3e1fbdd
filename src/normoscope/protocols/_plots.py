"""Figures of protocols, as SVG text."""

from __future__ import annotations

from ..figures import ABNORMAL, FAINT, NORMAL, THIRD
from ..figures import standalone as draw

__all__ = ["PALETTE", "draw"]

PALETTE = (NORMAL, THIRD, FAINT, ABNORMAL)
