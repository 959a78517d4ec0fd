"""Fails, naming the cells, if a notebook of the given folder holds output or an execution count."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def leftovers(path: Path) -> list[str]:
    """Cells of one notebook that hold output."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [(i, c) for i, c in enumerate(cells) if c["cell_type"] == "code"]
    return [f"{path.name}: cell {i} holds output" for i, c in code if c["outputs"] or c["execution_count"] is not None]


def main(folder: str) -> int:
    """Check all notebooks of a folder."""
    found = [line for path in sorted(Path(folder).glob("*.ipynb")) for line in leftovers(path)]
    print("\n".join(found) or "notebooks hold no output")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
