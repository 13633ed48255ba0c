"""What an auditor asks of a model: which rounds, hospitals, consents and software are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import statements
from governance.counts import count
from governance.ledger import query_releases
from governance.ledger.paging import WHOLE, Cut, Page
from governance.ledger.reading import Standings, names_in
from governance.ledger.schema import contributions, entries, rounds
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Row

COLUMNS: Final = (
    "round",
    "attempt",
    "site",
    "agreement",
    "consent_seq",
    "contribution_seq",
    "closed_seq",
    "steps",
    "patients",
    "worker",
)
_LEAST_PREFIX: Final = 8


@dataclass(frozen=True, slots=True)
class _Step:
    """A committed attempt on the way to a model, with those of its sites that are asked for."""

    round: int
    attempt: int
    opened_seq: int
    ended_seq: int
    sites: tuple[str, ...]


def lineage(
    c: Connection, model: str, *, site: str | None = None, page: Page = WHOLE
) -> Answer:
    """Say which rounds, sites, consents and software are inside a model.

    Args:
        c: A connection.
        model: Its digest, at least the first eight digits of it, or a release's name.
        site: The only site to show, or all.
        page: Which rounds to show; a round is never split.

    Raises:
        Refused: no committed round made it, or the digits fit several.
    """
    digest = _model(c, model)
    path = list(_path(c, digest, site))[::-1]
    shown, next_after = _cut(path, page)
    rows = list(_rows(c, shown, site))
    inside = sorted({name for step in path for name in step.sites})
    counted = len({step.round for step in path})
    cut = Cut(len(rows), sum(len(step.sites) for step in path), next_after)
    return Answer(
        COLUMNS,
        rows,
        title=f"Model {digest[:8]}: {count(counted, 'round')}, {count(len(inside), 'site')}",
        notes=[*query_releases.of_model(c, digest), *cut.notes],
        facts={"model": digest, "rounds": counted, "sites": inside, **cut.facts},
    )


def _cut(path: Sequence[_Step], page: Page) -> tuple[Sequence[_Step], int | None]:
    """Return the steps on a page, and the last one's round if there are more."""
    rest = [step for step in path if page.after is None or step.round > page.after]
    if page.limit is None:
        return rest, None
    shown = 0
    for place, step in enumerate(rest):
        if shown and shown + len(step.sites) > page.limit:
            return rest[:place], rest[place - 1].round
        shown += len(step.sites)
    return rest, None


_BACK: Final = (
    select(*rounds.c["round", "attempt", "opened_seq", "ended_seq"])
    .add_columns(*rounds.c["model_in", "model_out", "sites_in"])
    .where(rounds.c.state == "closed")
    .order_by(rounds.c.opened_seq.desc())
)


def _path(c: Connection, digest: str, site: str | None) -> Iterator[_Step]:
    """Walk from a model back to its beginning, over the rounds that made it."""
    before: int | None = None
    for round_, attempt, opened, ended, model_in, made, sites_in in c.execute(_BACK):
        if made != digest or (before is not None and ended >= before):
            continue
        digest, before = model_in, opened
        names = names_in(sites_in)
        if site is not None:
            names = (site,) if site in names else ()
        if names:
            yield _Step(round_, attempt, opened, ended, names)


def _rows(
    c: Connection, path: Sequence[_Step], only: str | None
) -> Iterator[tuple[object, ...]]:
    """Yield what each site gave to the rounds of a path, in one walk over the record."""
    stood = Standings(c)
    given = _given(c, path, only)
    for step in path:
        standing = stood.before(step.opened_seq)
        for site in sorted(step.sites):
            made = given.get((step.round, step.attempt, site))
            if made is None:
                continue
            consent = standing.consent(site, made.agreement)
            body = statements.read(made.envelope).body
            yield (
                step.round,
                step.attempt,
                site,
                made.agreement,
                consent.signed_seq if consent else None,
                made.seq,
                step.ended_seq,
                made.steps,
                body["declared_patients"],
                body["worker"],
            )


def _given(
    c: Connection, path: Sequence[_Step], only: str | None
) -> dict[tuple[int, int, str], Row[Any]]:
    """Return the last contribution of each site to each attempt, with its entry."""
    if not path:
        return {}
    question = (
        select(contributions, entries.c.envelope)
        .join(entries, entries.c.seq == contributions.c.seq)
        .where(contributions.c.seq > path[0].opened_seq)
        .where(contributions.c.seq < path[-1].ended_seq)
        .order_by(contributions.c.seq)
    )
    if only is not None:
        question = question.where(contributions.c.site == only)
    return {(row.round, row.attempt, row.site): row for row in c.execute(question)}


def _model(c: Connection, model: str) -> str:
    released = query_releases.named(c, model)
    if released is not None:
        return released
    found: Iterable[str] = ()
    if len(model) >= _LEAST_PREFIX and model.isalnum():
        found = {
            str(digest)
            for digest in c.execute(
                select(rounds.c.model_out).where(rounds.c.model_out.startswith(model))
            ).scalars()
        }
    if len(set(found)) != 1:
        raise Refused(
            f"{'several models begin' if found else 'no committed model begins'} with {model}",
            todo="Give the digest, or its first eight digits or more; see: "
            "concilium-ledger rounds --format json",
            rule="no-model",
        )
    return next(iter(found))
