"""What holds for all tests: one thread of linear algebra a process, and no test that fails for being slow.

The matrices are small, and threads that wait for each other are slower.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from hypothesis import settings  # noqa: E402 - the variables above are read when numpy is loaded

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
