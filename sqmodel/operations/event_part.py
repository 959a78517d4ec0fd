"""Part of an event log: the same tables with some of the cases only."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sqmodel.operations.events import EventLog, connect
from sqmodel.operations.process_views import literal


def part_of(log: EventLog, case_ids: Iterable[str]) -> EventLog:
    """A log of some cases.

    Parameters
    ----------
    log : EventLog
    case_ids : iterable of str
        Those that the log does not have are none of the part's either.

    Returns
    -------
    EventLog
        A database of its own: closing either log leaves the other as it is.
    """
    folder = Path(tempfile.mkdtemp(prefix="sqmodel-events-"))
    part = EventLog(connect(folder), log.process, folder)
    wanted = pd.DataFrame({"case_id": pd.Series(list(dict.fromkeys(case_ids)), dtype=object)})
    log.connection.register("wanted", wanted)
    try:
        for table in ("events", "cases"):
            path = literal(str(folder / f"{table}.parquet"))
            chosen = f"SELECT * FROM {table} SEMI JOIN wanted USING (case_id)"
            log.connection.execute(f"COPY ({chosen}) TO {path} (FORMAT parquet)").fetchall()
            part.connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet({path})").fetchall()
    except BaseException:
        part.close()
        raise
    finally:
        log.connection.unregister("wanted")
    part._take(f"part of {log._source}", [])
    return part
