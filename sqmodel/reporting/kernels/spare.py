"""A process that loads the libraries, waits for its report on standard input, and becomes its kernel.

``python -m sqmodel.reporting.kernels.spare``: for machines without fork. A closed input ends it.
"""

from __future__ import annotations

import json
import sys

from sqmodel.reporting.kernels.child import Order, become_kernel, load_libraries


def main() -> None:
    """Load, wait, serve."""
    load_libraries()
    line = sys.stdin.readline()
    if line:
        become_kernel(Order(**json.loads(line)))


if __name__ == "__main__":
    main()
