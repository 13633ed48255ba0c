"""Where each site stands, for an operator's eyes: what it does, and what is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coordinator import masking, waiting
from coordinator.store import holders, proposals, record, roundbook
from governance.agreement import counter
from protos.words import SiteName
from protos.words_operator import Dissent, SiteStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document

_AGENT: Final = "its agent to connect: concilium-site run"
_OFFICER: Final[Mapping[str, str]] = {
    "declined": "a new proposal: its officer declined this one",
    "objected": "its officer to resume: it objected",
    "paused": "its officer to resume: concilium-site resume",
    "withdrawn": "a new proposal: it withdrew from this one",
    "lapsed": "a new proposal: its consent's time is over",
    "outdated": "its officer to consent to the new version",
}
"""Who must act where a consent permits nothing; any other is asked to review and consent."""
_AGAIN: Final = "its update once more: it was spoilt on the coordinator's disk"
_TASK: Final = "its task to end"
_REASON_CHARS: Final = 200


def statuses(
    base: Foundation,
    connection: Connection,
    force: Document | None,
    proposed: Document | None,
    *,
    over: bool = False,
) -> tuple[SiteStatus, ...]:
    """Return every enrolled site's status, by name; with a proposal, its answer to both.

    Where the agreement is `over`, nobody's officer is waited for.
    """
    running = roundbook.running(connection)
    steps = masking.awaited(connection, running)
    told = _consents(connection, force, proposed)
    barred = holders.revoked(connection)
    agreement = force.digest if force is not None else ""
    return tuple(
        status(
            base,
            SiteName(name),
            running,
            *(("revoked", "") if name in barred else said),
            agreement=agreement,
            step=steps.get(SiteName(name), ""),
            over=over,
        )
        for name, said in sorted(told.items())
    )


def dissents(connection: Connection, proposed: Document | None) -> tuple[Dissent, ...]:
    """Return who said no to the proposal, why, and what it would sign instead."""
    if proposed is None:
        return ()
    return tuple(
        Dissent(
            SiteName(site),
            state,
            _one_line(said.get("reason", "")),
            said.get(counter.LABEL, ""),
        )
        for site, (state, said) in proposals.dissents(connection, proposed.digest).items()
    )


def status(  # noqa: PLR0913 - what a row is made of
    base: Foundation,
    site: SiteName,
    running: Running | None,
    consent: str,
    reason: str = "",
    *,
    agreement: str = "",
    step: str = "",
    over: bool = False,
) -> SiteStatus:
    """Return one site's status; `reason` is what its officer said against the agreement.

    `agreement` is the one in force, of which the site may refuse all tasks; `step` what of it a
    masked sum waits for. Of an agreement that is `over`, nothing is waited for.
    """
    session = base.sessions.of(site)
    asked = None
    if running is not None:
        asked = running.evaluating.get(site) or running.training.get(site)
        asked = asked or running.measuring.get(site)
    doing = f"{asked.kind.value}: {asked.state}" if asked else "idle"
    came, all_ = (0, 0)
    if running is not None:
        came, all_ = base.spool.coming(site, running.round, running.attempt)
    permits = "in-force" if over and consent != "revoked" else consent
    waits = _waiting_for(connected=session is not None, consent=permits, doing=doing)
    waits = step if step and session is not None else waits
    if asked is not None and asked.is_asked_again:
        waits = _AGAIN
    quiet = waiting.quiet_of(base, site)
    if quiet is not None and quiet.holds(base.now()) and waits in {"", _TASK}:
        waits = f"the end of its {waiting.quiet_words(quiet)}"
    refuses = waiting.unwilling_by(base, site, agreement)
    if refuses:
        waits = f"its administrator: it refuses tasks ({refuses})"
    return SiteStatus(
        name=site,
        connected=session is not None,
        consent=consent,
        doing=doing,
        waiting_for=f"{waits}: «{reason}»" if reason and not over else waits,
        steps_done=session.steps_done if session else 0,
        bytes_in=came,
        bytes_all=all_,
    )


def _consents(
    connection: Connection, force: Document | None, proposed: Document | None
) -> dict[str, tuple[str, str]]:
    """Return by site its consent in words, and the reason that it gave against it."""
    asked = [one for one in (force, proposed) if one is not None]
    states = [record.consent_states(connection, one.digest) for one in asked]
    reasons: dict[str, str] = {}
    for one in asked:
        reasons |= record.consent_reasons(connection, one.digest)
    told = {}
    for name in holders.officer_keys(connection):
        said = [known.get(name, "not given") for known in states] or ["not given"]
        words = said[0] if len(said) == 1 else f"{said[0]}; to the proposal: {said[1]}"
        told[name] = (words, _one_line(reasons.get(name, "")))
    return told


def _one_line(text: str) -> str:
    """Return a text of somebody else's so that it can stand in a table."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _REASON_CHARS else f"{line[: _REASON_CHARS - 1]}…"


def _waiting_for(*, connected: bool, consent: str, doing: str) -> str:
    last = consent.rpartition(": ")[2]  # where a proposal is open, the answer to it
    if last in _OFFICER:
        return _OFFICER[last]
    if not connected:
        return "" if last == "revoked" else _AGENT
    if last not in {"in-force", "revoked"}:
        return "its officer: concilium-site review, then consent"
    if doing.endswith((": sent", ": accepted")):
        return _TASK
    return ""
