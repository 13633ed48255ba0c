"""The masked sum at work: its terms, and what each site said in each step of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, select, update

from coordinator.store.schema import mask_runs, mask_words
from governance import canonical
from governance.ledger.prepared import Prepared
from governance.secagg.terms import TRAIN, Terms
from governance.statements import parse_time, timestamp
from protos import codec
from protos.words import FromSite, SiteName
from protos.words_masks import MaskSaid

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from protos.words_masks import SaidBody

OVER: Final = "over"
"""The step of a run that is opened, or never will be."""
_REFUSED: Final = "refused"
_OBJECTED: Final = "objected"
_TERMS: Final = Prepared(
    select(mask_runs.c.terms).where(
        mask_runs.c.round == bindparam("round"),
        mask_runs.c.attempt == bindparam("attempt"),
        mask_runs.c.purpose == bindparam("purpose"),
    )
)


def begin(connection: Connection, terms: Terms, *, step: str = "") -> bytes:
    """Keep the terms of a run; return them as every site is sent them.

    What a backup still had of a run of that name, in a log that begins anew, is forgotten.
    """
    at = (terms.round, terms.attempt)
    for table in (mask_words, mask_runs):
        connection.execute(delete(table).where(*_of(table, at, terms.purpose)))
    said = canonical.encode(terms.to_json())
    place = {"round": terms.round, "attempt": terms.attempt, "purpose": terms.purpose}
    connection.execute(insert(mask_runs).values(**place, terms=said, step=step))
    return said


def step_of(connection: Connection, terms: Terms) -> str:
    """Return what a sum of figures waits for."""
    here = _of(mask_runs, (terms.round, terms.attempt), terms.purpose)
    return str(connection.execute(select(mask_runs.c.step).where(*here)).scalar_one())


def move(connection: Connection, terms: Terms, step: str) -> None:
    """Note what a sum of figures waits for now."""
    here = _of(mask_runs, (terms.round, terms.attempt), terms.purpose)
    connection.execute(update(mask_runs).where(*here).values(step=step))


def terms_of(connection: Connection, at: tuple[int, int], purpose: str = TRAIN) -> Terms | None:
    """Return the terms of an attempt's run, None where it has none."""
    said = said_of(connection, at, purpose)
    return Terms.from_bytes(said) if said else None


def said_of(connection: Connection, at: tuple[int, int], purpose: str = TRAIN) -> bytes:
    """Return the terms of an attempt's run as every site was sent them, b"" for none."""
    row = _TERMS.first(connection, round=at[0], attempt=at[1], purpose=purpose)
    return bytes(row.terms) if row is not None else b""


def keep(
    connection: Connection,
    terms: Terms,
    step: str,
    site: SiteName,
    word: MaskSaid | None,
    *,
    now: datetime,
) -> None:
    """Keep what a site said in a step, None for nothing; said again it is nothing new."""
    at = (terms.round, terms.attempt)
    mine = (*_of(mask_words, at, terms.purpose), mask_words.c.site == site)
    known = select(mask_words.c.site).where(*mine, mask_words.c.step == step)
    if connection.execute(known).first() is not None:
        return
    connection.execute(
        insert(mask_words).values(
            round=at[0],
            attempt=at[1],
            purpose=terms.purpose,
            site=site,
            step=step,
            said_at=timestamp(now),
            message=b"" if word is None else codec.from_site_bytes(FromSite(word)),
        )
    )


def leave(
    connection: Connection, terms: Terms, site: SiteName, rule: str, *, now: datetime
) -> None:
    """Keep that a site whose vector is in takes no further step.

    Args:
        connection: A connection.
        terms: Those of the run.
        site: Who takes none.
        rule: What it broke itself; empty where it complained of another.
        now: The time.
    """
    keep(connection, terms, _OBJECTED, site, None, now=now)
    if rule:
        keep(connection, terms, f"{_REFUSED}/{rule}", site, None, now=now)


def left(connection: Connection, terms: Terms) -> frozenset[SiteName]:
    """Return who takes no further step, though its vector is in."""
    return frozenset(times(connection, terms, _OBJECTED))


def refused(connection: Connection, terms: Terms) -> dict[SiteName, str]:
    """Return which rule each site broke whose vector is in."""
    here = _of(mask_words, (terms.round, terms.attempt), terms.purpose)
    broken = mask_words.c.step.startswith(f"{_REFUSED}/", autoescape=True)
    question = select(mask_words.c.site, mask_words.c.step).where(*here, broken)
    rows = connection.execute(question.order_by(mask_words.c.site))
    return {SiteName(row.site): row.step.removeprefix(f"{_REFUSED}/") for row in rows}


def said(connection: Connection, terms: Terms, step: str) -> dict[SiteName, SaidBody]:
    """Return what each site said in a step."""
    return {
        SiteName(row.site): _word(row.message).said for row in _rows(connection, terms, step)
    }


def times(connection: Connection, terms: Terms, step: str) -> dict[SiteName, datetime]:
    """Return when each site took a step."""
    return {
        SiteName(row.site): parse_time(row.said_at) for row in _rows(connection, terms, step)
    }


def keep_only(
    connection: Connection, terms: Terms, step: str, sites: Collection[SiteName]
) -> None:
    """Forget what others than these said in a step: they are no longer in the run."""
    here = _of(mask_words, (terms.round, terms.attempt), terms.purpose)
    connection.execute(
        delete(mask_words).where(
            *here, mask_words.c.step == step, mask_words.c.site.not_in(list(sites))
        )
    )


def forget(connection: Connection, at: tuple[int, int]) -> None:
    """Forget every run of an attempt with all that was said in it."""
    for table in (mask_words, mask_runs):
        connection.execute(
            delete(table).where(table.c.round == at[0], table.c.attempt == at[1])
        )


def _rows(connection: Connection, terms: Terms, step: str) -> list[Any]:
    here = _of(mask_words, (terms.round, terms.attempt), terms.purpose)
    question = select(mask_words).where(*here, mask_words.c.step == step)
    return list(connection.execute(question.order_by(mask_words.c.site)))


def _of(table: Any, at: tuple[int, int], purpose: str) -> tuple[Any, ...]:  # noqa: ANN401
    return (table.c.round == at[0], table.c.attempt == at[1], table.c.purpose == purpose)


def _word(message: bytes) -> MaskSaid:
    body = codec.from_site_parse(message).body
    assert isinstance(body, MaskSaid)
    return body
