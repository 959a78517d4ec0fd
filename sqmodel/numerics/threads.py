"""BLAS threads: many for large products, one where matrices are small and threads would wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    """Finding the loaded BLAS takes longer than a few small factorisations: once a process is enough."""
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it BLAS works in the calling thread alone."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield
