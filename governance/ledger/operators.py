"""Whose acts count: the operators that the binding agreement names, two where it says so.

The log knows an agreement by its digest alone. So its proposal states, beside the digest, the
operators' keys and `two_for` of the document; every hospital holds the two against each other
before it works under it. The agreement that took force last binds, also once it has ended;
before the first one each enrolled operator acts alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, case, select

from governance import statements
from governance.ledger.prepared import Prepared
from governance.ledger.schema import agreements, entries
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.agreement.schema import Agreement
    from governance.statements import Statement

ACTS: Final[Mapping[str, str]] = {
    "agreement-proposed": "propose",
    "agreement-proposal-withdrawn": "withdraw-proposal",
    "revoked": "revoke",
    "release-published": "release",
    "release-given": "give",
    "release-recalled": "recall",
    "release-settled": "settle",
    "exit-requested": "remove",
    "hold-set": "hold",
    "hold-lifted": "hold",
    "erased": "erase",
    "log-recovered": "recover",
}
"""Acts that have a kind of their own, by the name that `two_for` has for them."""

_BOUND: Final = ("in-force", "superseded", "expired", "complete")

_PROPOSED: Final = Prepared(
    select(entries.c.envelope)
    .join(agreements, agreements.c.proposed_seq == entries.c.seq)
    .where(agreements.c.digest == bindparam("agreement"))
)


@dataclass(frozen=True, slots=True)
class Operators:
    """The keys whose acts count under an agreement, and the acts that need two of them."""

    keys: frozenset[str]
    two_for: frozenset[str]

    @classmethod
    def of(cls, agreement: Agreement) -> Operators:
        """Return those of an agreement's document."""
        operators = agreement.operators
        return cls(frozenset(operators.keys.values()), frozenset(operators.two_for))

    @classmethod
    def stated(cls, proposed: Mapping[str, Any]) -> Operators | None:
        """Return those that a proposal's body states; None where it states none."""
        if "operators" not in proposed:
            return None
        return cls(frozenset(proposed["operators"].values()), frozenset(proposed["two_for"]))

    def needs_two(self, statement: Statement) -> bool:
        """Say whether an act is one that two must sign."""
        return bool(acts_of(statement) & self.two_for)

    def check(self, statement: Statement) -> None:
        """Check who signed an act; that the signatures are good is checked elsewhere.

        Raises:
            Refused: a signer's key does not count, or there is one where two must sign.
        """
        # 1. Every signer's key stands in the agreement. Stops an operator whom no hospital
        #    agreed to.
        self.check_keys(statement)
        # 2. Two of them where the agreement says so. Stops one operator alone.
        if self.needs_two(statement) and len(statement.signatures) < 2:
            raise Refused(
                f"the agreement wants two operators to sign {_named(statement)}",
                todo="Let a second operator sign it too.",
                rule="two-operators",
            )

    def check_keys(self, statement: Statement) -> None:
        """Check that every signer's key stands in the agreement, or raise Refused."""
        if not statement.signatures.keys() <= self.keys:
            raise Refused(
                "the key of this operator does not stand in the agreement",
                todo="Propose an agreement that names it, and let the sites consent.",
                rule="operator-not-in-agreement",
            )


def statement_of(agreement: Agreement) -> dict[str, Any]:
    """Return what a proposal's body states of its document's operators."""
    operators = agreement.operators
    return {"operators": dict(operators.keys), "two_for": sorted(operators.two_for)}


def check_stated(proposed: Mapping[str, Any], agreement: Agreement) -> None:
    """Check that a proposal's body states its document's operators, or raise Refused.

    Stops a proposal from letting others act in the log than the hospitals signed for.
    """
    if Operators.stated(proposed) != Operators.of(agreement):
        raise Refused(
            "the operators that the proposal states in the ledger are not those of the "
            "agreement's own text",
            todo="Consent to nothing; ask the operator to propose it anew.",
            rule="operators-misstated",
        )


def acts_of(statement: Statement) -> frozenset[str]:
    """Return the names that `two_for` may have for an operator's act."""
    if statement.kind == "operator-acted":
        return frozenset({str(statement.body.get("act", ""))})
    names = {ACTS.get(statement.kind, statement.kind)}
    if statement.kind == "release-settled":
        # Settled by a recall it is one. Stops one operator from recalling where two must.
        names.add(str(statement.body.get("decision")))
    return frozenset(names)


def is_act(statement: Statement) -> bool:
    """Say whether a statement is an operator's act: all that one says but its enrolment."""
    return statement.actor.startswith("operator/") and statement.kind != "enrolled"


def binding(c: Connection) -> str | None:
    """Return the digest of the agreement whose operators count now, None before the first."""
    newest = (
        select(agreements.c.digest)
        .where(agreements.c.state.in_(_BOUND))
        .order_by(
            case((agreements.c.state == "in-force", 0), else_=1),
            agreements.c.changed_seq.desc(),
        )
        .limit(1)
    )
    found = c.execute(newest).scalar()
    return None if found is None else str(found)


def proposal(c: Connection, agreement: str) -> Mapping[str, Any] | None:
    """Return the body of the entry that proposed an agreement; None where none did."""
    found = _PROPOSED.first(c, agreement=agreement)
    return None if found is None else statements.read(found.envelope).body


def check_act(c: Connection, statement: Statement) -> None:
    """Check an operator's act against the agreement that binds, as the log states it.

    Raises:
        Refused: it does not count.
    """
    agreement = binding(c)
    proposed = None if agreement is None else proposal(c, agreement)
    stated = None if proposed is None else Operators.stated(proposed)
    if stated is not None:
        stated.check(statement)


def _named(statement: Statement) -> str:
    return ACTS.get(statement.kind) or str(statement.body.get("act", statement.kind))
