"""Tell glibc to keep big buffers instead of handing them back to the kernel at every step.

Each training step frees and asks for the same hundreds of megabytes; by default glibc unmaps them, and about a
third of the time goes to page faults. Only a program may decide this for its process, and the runner for the
processes it starts, which do not inherit it; so nothing here happens on import.
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["tune"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1
_STEP = 64 * 2**20


def tune() -> bool:
    """Make glibc reuse freed memory; call once, before the work starts.

    Returns:
        Whether the settings were taken: False outside Linux with glibc.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _STEP))
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)
