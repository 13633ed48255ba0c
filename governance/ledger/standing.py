"""Which agreements and consents stand, replayed from the entries alone.

The same replay answers an auditor's question about any moment and serves `verify`; it reads no
projection, so that a projection which lies is found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from governance.consent import CARRIED, ENDED, Consent, Event, advance
from governance.ledger.entry import site_of
from governance.ledger.held import Agreed, Held, terms_of
from governance.ledger.operators import Operators
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from governance.ledger.entry import Entry

EVENTS: Final[Mapping[str, Event]] = {
    "consent-declined": Event.DECLINED,
    "consent-objected": Event.OBJECTED,
    "consent-suspended": Event.PAUSED,
    "consent-resumed": Event.RESUMED,
    "consent-withdrawn": Event.WITHDRAWN,
    "consent-lapsed": Event.LAPSED,
}
"""What each kind of entry does to the consent that it names."""

AGREEMENT_STATES: Final[Mapping[str, str]] = {
    "agreement-proposed": "proposed",
    "agreement-proposal-withdrawn": "withdrawn",
    "agreement-in-force": "in-force",
    "agreement-superseded": "superseded",
    "agreement-expired": "expired",
    "agreement-complete": "complete",
}

KINDS: Final = (
    *AGREEMENT_STATES,
    *EVENTS,
    "consent-given",
    "change-acknowledged",
    "data-declared",
    "revoked",
    "exit-requested",
    "enrolled",
    "log-recovered",
    "log-accepted",
)
"""The kinds of entries that change what stands."""

_OPEN: Final = frozenset({"proposed", "in-force"})
_BEFORE: Final[Mapping[str, frozenset[str]]] = {
    "withdrawn": frozenset({"proposed"}),
    "in-force": frozenset({"proposed"}),
    "superseded": frozenset({"in-force"}),
    "expired": frozenset({"in-force"}),
    "complete": frozenset({"in-force"}),
}


class Standing:
    """Agreements by digest and consents by (site, agreement) after the entries taken so far.

    A consent is to material terms: it holds for every agreement with the same material digest.
    `unheard` are the sites that have not accepted a new log yet: they may have withdrawn in
    what is lost.
    `binding` is the agreement that took force last: its operators' acts count.
    """

    def __init__(self) -> None:
        self.agreements: dict[str, Agreed] = {}
        self.consents: dict[tuple[str, str], Held] = {}
        self.revoked: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.sites: set[str] = set()
        self.unheard: set[str] = set()
        self.binding: Agreed | None = None

    def take(self, entry: Entry) -> None:
        """Let an entry take effect; kinds that change nothing here are passed by.

        Raises:
            Refused: it cannot follow from what stands.
        """
        kind = entry.statement.kind
        if kind in AGREEMENT_STATES:
            self._agree(entry.seq, AGREEMENT_STATES[kind], entry.body)
        elif kind in EVENTS:
            self._change(entry)
        elif kind in _TAKES:
            _TAKES[kind](self, entry)

    @property
    def present(self) -> set[str]:
        """The sites that are enrolled, and neither revoked nor gone."""
        return self.sites - self.revoked.keys() - self.left.keys()

    def agreement(self, digest: str) -> Agreed:
        """Return a known agreement, or raise Refused."""
        if digest not in self.agreements:
            raise Refused(
                "it names an agreement that nobody ever proposed", rule="unknown-agreement"
            )
        return self.agreements[digest]

    def consent(self, site: str, agreement: str) -> Held | None:
        """Return what a site said of an agreement, or else last of the same material terms."""
        own = self.consents.get((site, agreement))
        if own is not None or agreement not in self.agreements:
            return own
        material = self.agreements[agreement].material
        same = [
            held
            for held in self.consents.values()
            if held.site == site and held.material == material
        ]
        return max(same, key=lambda held: held.given_seq, default=None)

    def check_permitted(self, site: str, agreement: str, now: datetime) -> Held:
        """Return the consent under which a site takes part at a moment.

        Raises:
            Refused: there is none in force for this agreement's material terms.
        """
        counting = self._counting(site, agreement)
        if site in self.revoked:
            raise Refused(f"{site} had been revoked", rule="no-consent")
        if site in self.unheard:
            raise Refused(f"{site} had not accepted the new log", rule="log-not-accepted")
        for held in counting:
            if held.permits(now):
                return held
        held_for_it = self.consent(site, agreement)
        if held_for_it is None:
            raise Refused(f"{site} never consented to these terms", rule="no-consent")
        raise Refused(
            f"the consent of {site} was {held_for_it.state_at(now).value} at that moment",
            rule="no-consent",
        )

    def check_going(self, site: str, agreement: str, now: datetime) -> None:
        """Check that no consent to these terms has ended, paused or not, or raise Refused."""
        states = [held.state_at(now) for held in self._counting(site, agreement)]
        if all(state in ENDED for state in states):
            raise Refused(f"{site} had ended its consent", rule="consent-ended")

    def _counting(self, site: str, agreement: str) -> list[Held]:
        """Return what a site said of an agreement, or else of those with the same terms."""
        material = self.agreement(agreement).material
        own = self.consents.get((site, agreement))
        if own is not None:
            return [own]
        every = self.consents.values()
        return [held for held in every if held.site == site and held.material == material]

    def _agree(self, seq: int, state: str, body: Mapping[str, Any]) -> None:
        digest = str(body["agreement"])
        if state == "proposed":
            if digest in self.agreements:
                raise Refused("the same agreement is proposed twice", rule="agreement-state")
            stated = Operators.stated(body)
            self.agreements[digest] = Agreed(digest, str(body["material"]), state, seq, stated)
            return
        known = self.agreement(digest)
        if known.state not in _BEFORE[state]:
            raise Refused(
                f"an agreement that is {known.state} cannot become {state}",
                rule="agreement-state",
            )
        self.agreements[digest] = replace(known, state=state, changed_seq=seq)
        if state == "in-force":
            self.binding = known
            self._succeed(seq, known)
        if state == "withdrawn":
            for held in list(self.consents.values()):
                if held.agreement == digest and held.state not in ENDED:
                    self._move(held, Event.LAPSED, seq)

    def _succeed(self, seq: int, new: Agreed) -> None:
        """Let an agreement that takes force end or suspend the consents to other ones."""
        for held in self._others(new.digest):
            own = self.consents.get((held.site, new.digest))
            if own is not None and own.state is Consent.IN_FORCE:
                self._move(held, Event.OWN_NEW_CONSENT, seq)
            elif held.material != new.material:
                self._move(held, Event.LEFT_OUT, seq)

    def _give(self, entry: Entry) -> None:
        site, body, seq = _site(entry), entry.body, entry.seq
        agreed = self._of_these_terms(site, body)
        before = self.consents.get((site, agreed.digest))
        state = advance(Consent.PROPOSED if before is None else before.state, Event.SIGNED)
        if site in self.left:
            raise Refused(f"{site} had left the federation", rule="leaving")
        given = Held(site, agreed.digest, agreed.material, state, terms_of(body), seq, seq, seq)
        if not given.permits(entry.received_at):
            raise Refused(f"{site} consents until a time that is over", rule="consent-lapsed")
        self.consents[site, agreed.digest] = given
        if agreed.state == "in-force":
            for held in self._others(agreed.digest):
                if held.site == site:
                    self._move(held, Event.OWN_NEW_CONSENT, seq)

    def _others(self, digest: str) -> list[Held]:
        """Return the consents that go on, to other agreements that were once in force."""
        return [
            held
            for held in self.consents.values()
            if held.agreement != digest
            and held.state not in ENDED
            and self.agreements[held.agreement].state != "proposed"
        ]

    def _of_these_terms(self, site: str, body: Mapping[str, Any]) -> Agreed:
        agreed = self.agreement(str(body["agreement"]))
        if body["material"] != agreed.material:
            raise Refused(
                f"{site} speaks of other terms than those of this agreement",
                rule="other-material",
            )
        if agreed.state not in _OPEN:
            raise Refused(
                f"{site} consents to an agreement that is {agreed.state}",
                rule="agreement-state",
            )
        return agreed

    def _change(self, entry: Entry) -> None:
        site, event, seq = _site(entry), EVENTS[entry.statement.kind], entry.seq
        agreed = self.agreement(str(entry.body["agreement"]))
        held = self.consent(site, agreed.digest)
        if held is None and event is Event.LAPSED:
            self._check_overtaken(agreed)
        if held is None:
            held = Held(
                site, agreed.digest, agreed.material, Consent.PROPOSED, None, *(seq,) * 3
            )
        if event is Event.RESUMED:
            self._of_these_terms(site, entry.body)
            advance(held.state_at(entry.received_at), event)
        self._move(held, event, seq)

    def _acknowledge(self, entry: Entry) -> None:
        """Let a consent hold for the agreement that superseded its own on the same terms."""
        site, body, seq = _site(entry), entry.body, entry.seq
        new, former = self.agreement(body["agreement"]), self.agreement(body["former"])
        held = self.consents.get((site, former.digest))
        # 1. It follows on the same terms. Stops a consent from holding for what nobody signed.
        if (new.state, former.state) != ("in-force", "superseded"):
            raise Refused(f"{site} acknowledges what did not follow", rule="agreement-state")
        if not new.material == former.material == body["material"]:
            raise Refused(f"{site} acknowledges other material terms", rule="other-material")
        # 2. A consent goes on; nothing else was said. Stops a withdrawal from being undone.
        if held is None or held.state_at(entry.received_at) not in CARRIED:
            raise Refused(f"no consent of {site} goes on", rule="no-consent")
        if (site, new.digest) in self.consents:
            raise Refused(f"{site} answered this agreement before", rule="answered-before")
        carried = replace(held, agreement=new.digest, given_seq=seq, changed_seq=seq)
        self.consents[site, new.digest] = carried
        self._move(held, Event.OWN_NEW_CONSENT, seq)

    def _declare(self, entry: Entry) -> None:
        """Let a consent that goes on count on another number of its cohort's patients."""
        held = self.consent(_site(entry), self.agreement(str(entry.body["agreement"])).digest)
        if held is None or held.terms is None or held.state in ENDED:
            return
        if held.terms.cohort != entry.body["cohort"]:
            raise Refused(
                f"{held.site} consented for the cohort {held.terms.cohort}", rule="other-cohort"
            )
        number = int(entry.body["declared_patients"])
        terms = replace(held.terms, declared_patients=number)
        self.consents[held.site, held.agreement] = replace(held, terms=terms)

    def _revoke(self, entry: Entry) -> None:
        self.revoked.setdefault(str(entry.body["name"]), entry.seq)

    def _enrol(self, entry: Entry) -> None:
        """Let who had left be asked again; whose keys are replaced has consented to nothing."""
        name = str(entry.body["name"])
        if self.left.pop(name, None) is None:
            self._end_all(name, Event.LAPSED, entry.seq)
        self.sites |= {name} if entry.body["role"] == "site" else set()

    def _begin_anew(self, entry: Entry) -> None:
        """Let every site be asked nothing until it accepts a new log."""
        if "last" in entry.body:
            self.unheard = self.present

    def _accept(self, entry: Entry) -> None:
        self.unheard.discard(str(_site(entry)))

    def _leave(self, entry: Entry) -> None:
        """End every consent of a site that leaves, or is taken out."""
        site, own = str(entry.body["site"]), site_of(entry.statement)
        self.left[site] = entry.seq
        self._end_all(site, Event.WITHDRAWN if own == site else Event.LAPSED, entry.seq)

    def _end_all(self, site: str, event: Event, seq: int) -> None:
        for held in list(self.consents.values()):
            if held.site == site and held.state not in ENDED:
                self._move(held, event, seq)

    def _check_overtaken(self, asked: Agreed) -> None:
        later = (
            other.state == "in-force" and other.changed_seq > asked.changed_seq
            for other in self.agreements.values()
        )
        if asked.state != "proposed" or not any(later):
            raise Refused("its sites are asked for their consent still", rule="still-asked")

    def _move(self, held: Held, event: Event, seq: int) -> None:
        moved = replace(held, state=advance(held.state, event), changed_seq=seq)
        self.consents[held.site, held.agreement] = moved


_TAKES: Final[Mapping[str, Callable[[Standing, Entry], None]]] = {
    "consent-given": Standing._give,  # noqa: SLF001 - the class's own table
    "data-declared": Standing._declare,  # noqa: SLF001
    "change-acknowledged": Standing._acknowledge,  # noqa: SLF001
    "revoked": Standing._revoke,  # noqa: SLF001
    "exit-requested": Standing._leave,  # noqa: SLF001
    "enrolled": Standing._enrol,  # noqa: SLF001
    "log-recovered": Standing._begin_anew,  # noqa: SLF001
    "log-accepted": Standing._accept,  # noqa: SLF001
}
"""What a kind does beside moving an agreement or a consent by the tables above."""


def _site(entry: Entry) -> str:
    site = site_of(entry.statement)
    if site is None:
        raise Refused("it is of no site", rule="no-site")
    return site
