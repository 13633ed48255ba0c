"""The coordinator's database in two parts, ledger and own state, brought to this version.

The copy that is kept first lies beside an SQLite file; of a database on a server it is an
SQLite file too, in the folder's `state`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.store import moving
from coordinator.store.parts import PARTS
from governance.ledger import migrating
from governance.ledger import store as ledger
from governance.ledger.copying import Copies

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from governance.ledger.migrating import Migrated
    from governance.ledger.revisions import Part


def bring_up(
    url: str, folder: Path, *, at: datetime, parts: Sequence[Part] = PARTS
) -> Migrated | None:
    """Migrate a folder's database, which nobody else writes to, if it is of an older version.

    Args:
        url: The database.
        folder: The federation's.
        at: The present time.
        parts: What this program knows of such a database.

    Raises:
        Refused: a newer version has used it, or no version made it.
        Unavailable: it cannot be used, or no copy can be kept.
    """
    engine = ledger.open_engine(url)
    where = engine.url.render_as_string()
    try:
        with ledger.in_words("the database", where=where):
            return migrating.bring_up(
                engine, parts, copies=copies_of(engine, folder, parts), at=at, where=where
            )
    finally:
        engine.dispose()


def copies_of(engine: Engine, folder: Path, parts: Sequence[Part] = PARTS) -> Copies:
    """Return where copies of a folder's database lie."""
    if engine.dialect.name == "sqlite":
        return Copies(Path(engine.url.database or ""))
    url = engine.url.render_as_string(hide_password=False)
    return Copies(folder / "state" / engine.dialect.name, partial(_from_server, url, parts))


def _from_server(
    url: str, parts: Sequence[Part], _connection: Connection, target: Path
) -> None:
    moving.snapshot(url, f"sqlite:///{target}", parts=parts)
