"""The site's store and its copies of ledgers, brought to this version by whoever owns them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from governance.ledger import migrating, revisions
from governance.ledger import store as ledger
from governance.ledger.copying import Copies
from governance.ledger.making import LEDGER
from governance.ledger.revisions import Part, Standing
from site_agent.store import (
    database,
    egress,
    journal,
    letters,
    masks,
    migrations,
    notes,
    optouts,
    terms,
    work,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from governance.ledger.migrating import Migrated

_WITH_TABLES: Final = (egress, journal, letters, masks, notes, optouts, terms, work)
SITE: Final = Part("site", database.metadata, Path(migrations.__file__).parent)
"""All tables of the modules above, which put them there when they are loaded."""


def are_current(store: Path, copies: Iterable[Path]) -> bool:
    """Tell whether nothing is left to migrate; what is not there yet never is."""
    return all(
        _standing(path, part) in (Standing.CURRENT, Standing.ABSENT, Standing.NEWER)
        for path, part in _all(store, copies)
    )


def bring_up(store: Path, copies: Iterable[Path], *, at: datetime) -> list[Migrated]:
    """Migrate what is of an older version; nobody else writes to any of it.

    Raises:
        Refused: a newer version has used one, or no version made it.
        Unavailable: one cannot be used, or no copy can be kept.
    """
    done = (_brought_up(path, part, at) for path, part in _all(store, copies))
    return [one for one in done if one is not None]


def _all(store: Path, copies: Iterable[Path]) -> list[tuple[Path, Part]]:
    known = [(store, SITE), *((path, LEDGER) for path in copies)]
    return [(path, part) for path, part in known if path.exists()]


def _standing(path: Path, part: Part) -> Standing:
    engine = ledger.open_engine(f"sqlite:///{path}")
    try:
        with ledger.in_words("the site's store", where=path):
            return revisions.look_at(engine, (part,))[part.name].standing
    finally:
        engine.dispose()


def _brought_up(path: Path, part: Part, at: datetime) -> Migrated | None:
    engine = ledger.open_engine(f"sqlite:///{path}")
    try:
        with ledger.in_words("the site's store", where=path):
            return migrating.bring_up(engine, (part,), copies=Copies(path), at=at, where=path)
    finally:
        engine.dispose()
