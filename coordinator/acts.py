"""Operators' acts: what each changes, in the transaction that records it.

An act counts when its operator's key stands in the agreement in force, or the last one
that was, with a second signature where the agreement's `two_for` says so. The ledger checks
the signatures.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from coordinator import campaign, heads, releasing, renewing, resuming
from coordinator.round_states import Event
from coordinator.store import exits, holders, kept, outbox, pausing, record, roundbook
from governance import statements
from governance.agreement.load import parse
from governance.agreement.plan import plan
from governance.identity import names
from governance.identity.enrolment import Invitation
from governance.identity.late_renewal import RENEWAL
from governance.ledger import replacing
from governance.ledger import store as ledger
from governance.ledger.kinds import check_form
from governance.ledger.operators import ACTS, Operators, check_stated
from protos.errors import PeerFault, Refused
from protos.words import AgreementState, Digest, Proposal, SiteName
from protos.words_operator import OperatorActed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.effects import Chores
    from coordinator.foundation import Foundation
    from governance.statements import Statement
    from protos.words_operator import OperatorAct

_INVITED: Final = frozenset({"site", "operator", "auditor"})
_WAITING: Final = 8
_INVITATION: Final = ("role", "name", "secret", "expires")


def take(
    base: Foundation, connection: Connection, operator: str, act: OperatorAct, now: datetime
) -> tuple[OperatorActed, Chores | None]:
    """Take an operator's act, or keep it until a second operator has signed it too.

    Returns what became of it, and the chores that it leaves where it ended a round.

    Raises:
        Refused: it is not this operator's, its key does not count, or what it asks cannot be.
    """
    statement = statements.read(act.envelope)
    first = kept.waiting_act(connection, statement.digest)
    # 1. The name comes from the certificate. Stops one operator acting as another.
    if f"operator/{operator}" not in {statement.actor, *_signers(connection, statement)}:
        raise Refused(f"{operator} sent an act of {statement.actor}", rule="not-yours")
    # 2. Every signer's key stands in the agreement. Stops an operator whom no site agreed to.
    _check_keys(connection, statement)
    # 3. Two keys where the agreement says so. Stops one operator alone.
    name = _name(statement)
    if _needs_two(connection, statement) and len(statement.signatures) < 2:
        # Checked before it is kept, so that nothing forged or unreadable waits for approval.
        check_form(statement)
        statements.check_signatures(statement, statement.signatures)
        _check_few(connection, statement)
        kept.keep_act(connection, statement.digest, act)
        # Whoever invites has the secret, and needs the addresses to make the token of it.
        told = json.dumps(base.addresses) if name in {"invite", replacing.ACT} else ""
        return OperatorActed(pending=True, seq=0, result=told), None
    if first is not None:
        act = replace(first, envelope=act.envelope)
        kept.forget_act(connection, statement.digest)
    handler = _HANDLERS.get(name)
    if handler is None:
        raise Refused(f"this coordinator does not know the act {name}", rule="unknown-act")
    # 4. It comes with every value it commits to. Stops a commitment that nobody can ever open.
    statements.check_all_told(statement, act.disclosures)
    result = handler(base, connection, statement, act)
    seq = ledger.append(connection, statement, received_at=now, disclosures=act.disclosures)
    _forget_overtaken(connection, statement)
    if name in _TOLD_AT_ONCE:
        heads.publish(base, connection)
    event, chores = _MEANS.get(name), None
    if event is not None:  # after the act, so that the record says why before it says what
        chores = campaign.happen(base, connection, event, now=now)
    return OperatorActed(pending=False, seq=seq, result=result), chores


def check_alone(connection: Connection, statement: Statement) -> None:
    """Check who signed an act that is done while no coordinator runs, as `take` does.

    Raises:
        Refused: a key does not count, or the agreement wants two.
    """
    _check_keys(connection, statement)
    name = _name(statement)
    if _needs_two(connection, statement) and len(set(statement.signatures)) < 2:
        raise Refused(
            f"the agreement wants two operators to sign {name}",
            todo="Name both: --identity DIR --identity DIR",
            rule="two-operators",
        )


def _check_few(connection: Connection, statement: Statement) -> None:
    """Stops one operator from filling every other one's status until it cannot be sent."""
    waiting = (statements.read(act.envelope) for act in kept.waiting_acts(connection))
    mine = {other.digest for other in waiting if other.key == statement.key}
    if len(mine - {statement.digest}) >= _WAITING:
        raise Refused(
            f"{_WAITING} acts of this operator wait for a second signature already",
            rule="too-many-waiting",
            todo="Let another operator approve one, or act without two_for: any act of this "
            "operator that takes effect ends those that wait.",
        )


def _forget_overtaken(connection: Connection, statement: Statement) -> None:
    """Forget waiting acts in whose place in the key's chain another one now stands."""
    for waiting in kept.waiting_acts(connection):
        other = statements.read(waiting.envelope)
        if other.key == statement.key and other.counter <= statement.counter:
            kept.forget_act(connection, other.digest)


def _name(statement: Statement) -> str:
    if statement.kind != "operator-acted":
        return ACTS.get(statement.kind, statement.kind)
    name = str(statement.body.get("act", ""))
    # What has a kind of its own is said by it alone. Stops an act that the ledger takes for
    # another one than the coordinator does.
    if name in ACTS.values():
        raise Refused(f"{name} is not said as operator-acted", rule="unknown-act")
    return name


def _signers(connection: Connection, statement: Statement) -> set[str]:
    return {
        f"operator/{name}"
        for name, key in holders.operator_keys(connection).items()
        if key in statement.signatures
    }


def _check_keys(connection: Connection, statement: Statement) -> None:
    document = record.agreement_that_binds(connection)
    if document is not None:
        Operators.of(document.agreement).check_keys(statement)


def _needs_two(connection: Connection, statement: Statement) -> bool:
    document = record.agreement_that_binds(connection)
    return document is not None and Operators.of(document.agreement).needs_two(statement)


# --- what each act changes -----------------------------------------------------------------


def _propose(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    document = parse(act.document)
    agreement = document.agreement
    if agreement.federation != base.chronicle.log.federation:
        raise Refused(
            f"the agreement is for {agreement.federation}, but this coordinator serves "
            f"{base.chronicle.log.federation}",
            rule="other-federation",
        )
    said = (statement.body.get("agreement"), statement.body.get("material"))
    if said != (document.digest, document.material):
        raise PeerFault("the signed digests are not those of the document", rule="digest")
    check_stated(statement.body, agreement)
    _check_roster(connection, agreement.sites.roster, agreement.operators.keys)
    plan(document, in_force=record.agreement_in_force(connection))
    kept.keep_document(connection, document.digest, document.raw)
    for site in agreement.sites.roster:
        outbox.send(connection, SiteName(site), Proposal(document.raw))
        outbox.send(connection, SiteName(site), AgreementState(document.digest, "proposed"))
    return ""


def _check_roster(
    connection: Connection, roster: Mapping[str, Any], operators: Mapping[str, Any]
) -> None:
    enrolled = holders.officer_keys(connection)
    for site, keys in roster.items():
        if site not in enrolled:
            raise Refused(
                f"{site} stands in the roster, but is not enrolled",
                rule="roster-not-enrolled",
                todo=f"Invite it first: concilium-coordinator invite site {site}",
            )
        if set(keys or ()) != set(enrolled[site]):
            raise Refused(
                f"the roster's officer key of {site} is not the one it enrolled with",
                rule="roster-key",
                todo="Write the enrolled keys in with propose --fill-roster.",
            )
    known = holders.operator_keys(connection)
    for name, key in operators.items():
        if known.get(name) != key:
            raise Refused(
                f"the agreement's key of operator {name} is not the one enrolled",
                rule="operator-key",
                todo="Write the enrolled keys in with propose --fill-roster.",
            )


def _invite(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    said = {part: str(statement.body.get(part, "")) for part in _INVITATION}
    role, name = said["role"], said["name"]
    if role not in _INVITED:
        raise Refused(f"nobody is invited as {role}", rule="unknown-role")
    names.check_name(name, what="the name")
    if not statements.is_digest(said["secret"]):
        raise PeerFault("an invitation has the hash of its secret", rule="bad-body")
    if kept.invitation(connection, said["secret"]) is not None:
        raise Refused("this secret was used for an invitation before", rule="secret-taken")
    _check_invited(connection, statement, role, name)
    # One token holds for a name at a time. Stops a token that was lost, and asked for anew.
    replaced = kept.end_invitations(connection, name, base.now())
    kept.invite(
        connection,
        Invitation(
            name=name,
            role=role,
            secret_hash=Digest(said["secret"]),
            expires=statements.parse_time(said["expires"]),
        ),
    )
    return json.dumps({**base.addresses, **({"replaced": "yes"} if replaced else {})})


def _check_invited(connection: Connection, statement: Statement, role: str, name: str) -> None:
    """Check that a name is free; or enrolled, where it is to renew or to have new keys."""
    if statement.body.get("for") == RENEWAL:
        if role != "site" or statement.body["act"] != "invite":
            raise Refused("only a hospital is invited to renew", rule="unknown-role")
        renewing.check_may(connection, name)
    elif statement.body["act"] == replacing.ACT:
        if role != "site" or name not in holders.officer_keys(connection):
            raise Refused(f"no hospital {name} is enrolled", rule="not-enrolled")
    elif holders.is_enrolled(connection, name) and not exits.may_enrol_again(connection, name):
        raise Refused(
            f"{name} is enrolled already",
            rule="already-enrolled",
            todo="Choose another name; or, where a hospital's certificate has ended: "
            f"concilium-coordinator invite site {name} --renew; where its officer key is lost: "
            f"concilium-coordinator invite site {name} --replace",
        )


def _revoke(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    name = str(statement.body.get("name"))
    if not holders.is_enrolled(connection, name):
        raise Refused(f"{name} is not enrolled", rule="not-enrolled")
    return name


def _remove(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    return str(statement.body.get("site"))  # the ledger's own rules are all that is asked


def _pause(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    if why := pausing.why(connection):
        raise Refused(
            f"the federation is paused already: {why}",
            todo="Rounds open again after: concilium-coordinator resume",
            rule="paused-already",
        )
    name = statement.actor.removeprefix("operator/")
    pausing.pause(connection, f"{name} paused the federation", act=statement)
    return ""


def _resume(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    if not pausing.why(connection):
        raise Refused(
            "nothing was paused",
            todo="See what is waited for with: concilium-coordinator status",
            rule="not-paused",
        )
    resuming.check_models(base, connection)
    pausing.resume(connection)
    return ""


def _stop_round(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    # The attempt is named. Stops an act that was meant for one round from ending the next.
    running = roundbook.running(connection)
    said = (statement.body.get("round"), statement.body.get("attempt"))
    if running is None or said != (running.round, running.attempt):
        raise Refused(
            f"round {said[0]}, attempt {said[1]}, is not at work",
            rule="no-such-round",
            todo="See what is with: concilium-coordinator status",
        )
    return ""


def _withdraw_proposal(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    digest = Digest(str(statement.body.get("agreement")))
    document = record.read_document(connection, digest)
    if document is None:
        raise Refused("no agreement of this digest was proposed", rule="unknown-agreement")
    for site in document.agreement.sites.roster:
        outbox.send(connection, SiteName(site), AgreementState(digest, "withdrawn"))
    return ""


def _none_beside(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    """Change nothing beside the ledger, which says whether it may be."""
    return ""


_TOLD_AT_ONCE: Final = frozenset({"release", "give", "recall", "settle", "erase"})
"""Acts that hospitals learn of by a checkpoint of their own."""
_MEANS: Final[Mapping[str, Event]] = {"stop-round": Event.STOPPED}
"""What an act means for the round at work."""

_Act: TypeAlias = "Callable[[Foundation, Connection, Statement, OperatorAct], str]"
_HANDLERS: Final[Mapping[str, _Act]] = {
    "propose": _propose,
    "withdraw-proposal": _withdraw_proposal,
    "invite": _invite,
    replacing.ACT: _invite,
    "revoke": _revoke,
    "remove": _remove,
    "pause": _pause,
    "resume": _resume,
    "stop-round": _stop_round,
    "release": releasing.publish,
    "give": _none_beside,
    "recall": _none_beside,
    "settle": _none_beside,
    "hold": _none_beside,
    "erase": _none_beside,
}
