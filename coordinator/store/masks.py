"""The masked sum at work: its terms, and what each site said in each step of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select

from coordinator.store.schema import mask_runs, mask_words
from governance import canonical
from governance.secagg.terms import Terms
from governance.statements import parse_time, timestamp
from protos import codec
from protos.words import FromSite, SiteName
from protos.words_masks import MaskSaid

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from protos.words_masks import SaidBody

TRAIN: Final = "train"


def begin(connection: Connection, terms: Terms) -> bytes:
    """Keep the terms of a run; return them as every site is sent them.

    What a backup still had of a run of that name, in a log that begins anew, is forgotten.
    """
    forget(connection, (terms.round, terms.attempt))
    said = canonical.encode(terms.to_json())
    place = {"round": terms.round, "attempt": terms.attempt, "purpose": terms.purpose}
    connection.execute(insert(mask_runs).values(**place, terms=said))
    return said


def terms_of(connection: Connection, at: tuple[int, int], purpose: str = TRAIN) -> Terms | None:
    """Return the terms of an attempt's run, None where it has none."""
    said = connection.execute(select(mask_runs.c.terms).where(*_of(mask_runs, at, purpose)))
    found = said.scalar()
    return Terms.from_bytes(bytes(found)) if found is not None else None


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
