"""What an auditor asks of releases: which there are, who is inside them, and who has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, select

from governance import statements
from governance.ledger.reading import disclosed, names_in, received_at
from governance.ledger.schema import entries, exit_releases, handed, releases, rounds
from governance.statements import timestamp
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

_RELEASES: Final = (
    "release",
    "state",
    "round",
    "model",
    "rounds",
    "sites",
    "published",
    "recalled",
    "agreement",
    "card",
    "seq",
    "recalled_seq",
    "undone_seq",
)
_SETTLED: Final = {
    "keep": "kept after the exit of {}",
    "recall": "recalled after the exit of {}",
}
_UNDONE: Final = "undone since entry {}: training went back to before its round."
_RELEASE: Final = ("at", "what", "who", "told", "agreement", "seq")


def releases_held(
    c: Connection, *, site: str | None = None, at: datetime | None = None
) -> Answer:
    """Say which models were released, and whether they stand: now, or at a time.

    Args:
        c: The ledger.
        site: Only those with a contribution of this hospital inside.
        at: As of this moment.
    """
    until = None if at is None else timestamp(at)
    rows = [
        row
        for release in c.execute(select(releases).order_by(releases.c.seq))
        if site in {None, *names_in(release.sites)}
        for row in _release_row(c, release, until)
    ]
    stand = sum(1 for row in rows if row[1] == "published")
    title = f"{len(rows)} released models, {stand} of them not recalled"
    notes = [f"{row[0]}: {_UNDONE.format(row[-1])}" for row in rows if row[-1] is not None]
    if not rows:
        notes = ["No model was released."]
    return Answer(_RELEASES, rows, title=title, notes=notes, facts={"standing": stand})


def _release_row(
    c: Connection, release: Row[Any], until: str | None
) -> Iterator[tuple[object, ...]]:
    published = received_at(c, release.seq)
    if until is not None and published > until:
        return
    recalled = None if release.recalled_seq is None else received_at(c, release.recalled_seq)
    if recalled is not None and until is not None and recalled > until:
        recalled = None
    yield (
        release.release,
        "published" if recalled is None else "recalled",
        release.round,
        release.model,
        release.rounds.count(",") + (release.rounds != "[]"),
        ", ".join(names_in(release.sites)),
        published,
        recalled,
        release.agreement,
        release.card,
        release.seq,
        None if recalled is None else release.recalled_seq,
        _undone(c, release, until),
    )


def _undone(c: Connection, release: Row[Any], until: str | None = None) -> int | None:
    """Return the step of an exit that went back to before a release's round, or None."""
    seq = c.execute(
        select(rounds.c.undone_seq).where(
            rounds.c.round == release.round, rounds.c.attempt == release.attempt
        )
    ).scalar()
    if seq is None or (until is not None and received_at(c, seq) > until):
        return None
    return int(seq)


def one_release(c: Connection, name: str) -> Answer:
    """Say what became of a release: who published it, who was given it, who fetched it.

    Raises:
        Refused: there is no such release.
    """
    release = c.execute(select(releases).where(releases.c.release == name)).first()
    if release is None:
        raise Refused(
            f"there is no release {name} in this ledger",
            todo="See which there are with: concilium-ledger releases",
            rule="unknown-release",
        )
    about = select(handed.c.seq).where(handed.c.release == name)
    kept = select(exit_releases.c.seq).where(
        exit_releases.c.release == name, exit_releases.c.seq.is_not(None)
    )
    seqs = {release.seq, *c.execute(about).scalars(), *c.execute(kept).scalars()}
    if release.recalled_seq is not None:
        seqs.add(release.recalled_seq)
    rows = [_event_row(c, seq) for seq in sorted(seqs)]
    inside = names_in(release.sites)
    numbers = json.loads(release.rounds)
    title = f"Release {name}: round {release.round}, {release.state}"
    notes = [
        f"Inside it: {', '.join(inside)}; rounds {numbers[0]} to {numbers[-1]}.",
        f"Round by round: concilium-ledger lineage {name}",
    ]
    undone = _undone(c, release)
    if undone is not None:
        notes.insert(0, _UNDONE.format(undone).capitalize())
    facts = {
        **{column.name: release[place] for place, column in enumerate(releases.c)},
        "rounds": numbers,
        "sites": inside,
        "undone_seq": undone,
    }
    return Answer(_RELEASE, rows, title=title, notes=notes, facts=facts)


def _event_row(c: Connection, seq: int) -> tuple[object, ...]:
    entry = c.execute(select(entries).where(entries.c.seq == seq)).one()
    told = disclosed(c, seq)
    said = told.get("recipient") or told.get("reason")
    what = str(entry.kind).removeprefix("release-")
    if entry.kind == "release-settled":
        body = statements.read(entry.envelope).body
        what = _SETTLED[body["decision"]].format(body["site"])
    return entry.received_at, what, entry.actor, said, entry.agreement, seq


def named(c: Connection, name: str) -> str | None:
    """Return the model of a release, None where no release is called so."""
    found: str | None = c.execute(
        select(releases.c.model).where(releases.c.release == name)
    ).scalar()
    return found


def of_model(c: Connection, model: str) -> list[str]:
    """Say as what a model was released, a sentence each."""
    mine = select(releases).where(releases.c.model == model).order_by(releases.c.seq)
    return [_sentence(c, row) for row in c.execute(mine)]


def _sentence(c: Connection, row: Row[Any]) -> str:
    said = f"Released as {row.release} (entry {row.seq})"
    if row.recalled_seq is not None:
        said += f", recalled (entry {row.recalled_seq})"
    undone = _undone(c, row)
    return f"{said}." if undone is None else f"{said}, undone since entry {undone}."
