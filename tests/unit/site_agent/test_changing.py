"""Changes that ask for no consent: the class is computed here, the notice runs from here."""

from __future__ import annotations

import hashlib

import pytest
from hospital import FEDERATION, SITE, officer_of
from simulated import Log

from governance.agreement.classes import Klass
from governance.consent import Consent
from protos.errors import Refused
from protos.words import AgreementState
from site_agent import changing, drafts, office
from site_agent.standing import standing_of
from site_agent.store import carried, journal

NOTICE = {"notice": "14d"}
EDITORIAL = {**NOTICE, "title": "A small study, renamed"}
OPERATIONAL = {**NOTICE, "round.deadline": "20m"}
MATERIAL = {**NOTICE, "privacy.noise_multiplier": 2.5}


class Succession:
    """A hospital under an agreement in force, and a log in which another follows it."""

    def __init__(self, charite, log):
        self.charite, self.log = charite, log
        self.first = self.document(NOTICE)
        charite.proposed(self.first)
        log.propose(self.first)
        charite.consent(self.first)
        self.taken = 0
        self.hand_over()
        log.in_force(self.first)
        charite.take(AgreementState(self.first.digest, "in-force"))

    def document(self, changes):
        changes = {name.replace(".", "__"): value for name, value in changes.items()}
        return self.charite.document(**changes)

    def hand_over(self):
        """Let the log take what the hospital said since."""
        from governance import statements
        from protos.words import StatementSent

        sent = self.charite.sent(StatementSent)
        for one in sent[self.taken :]:
            self.log.append(statements.read(one.envelope), one.disclosures)
        self.taken = len(sent)

    def propose(self, changes):
        document = self.document(changes)
        self.charite.proposed(document)
        self.charite.take(AgreementState(document.digest, "proposed"))
        self.log.propose(document)
        return document

    def follow(self, document):
        """Let it take force in the first one's place."""
        body = {"rests_on": [], "sites": []}
        for kind, one in (("superseded", self.first), ("in-force", document)):
            said = {"agreement": one.digest, "material": one.material, **body}
            self.log.coordinator(f"agreement-{kind}", said)
            self.charite.take(AgreementState(one.digest, kind))

    def acknowledge(self):
        from site_agent.store import copy

        states = self.log.do(copy.states)
        m = self.charite.m
        return self.charite.store.now(lambda c: changing.acknowledge(c, m, states))

    def state(self, document):
        now = self.charite.clock()
        return self.charite.store.look(
            lambda c: standing_of(c, FEDERATION, document.digest).at(now)
        )

    @property
    def said(self):
        return [one.statement.body for one in self.charite.said("change-acknowledged")]


@pytest.fixture
def going(charite, tmp_path):
    log = Log(charite, tmp_path / "log.db")
    yield Succession(charite, log)
    log.close()


def test_an_editorial_change_is_acknowledged_as_soon_as_it_is_in_force(going):
    second = going.propose(EDITORIAL)
    assert going.acknowledge() is None
    assert going.said == []
    going.follow(second)
    going.acknowledge()
    assert going.said == [
        {
            "agreement": second.digest,
            "material": going.first.material,
            "former": going.first.digest,
            "class": "editorial",
        }
    ]
    assert going.state(second) is Consent.IN_FORCE
    going.hand_over()  # the log admits it
    going.acknowledge()
    assert len(going.said) == 1


def test_an_operational_change_waits_for_the_notice_since_it_came_here(going):
    second = going.propose(OPERATIONAL)
    going.follow(second)  # by a coordinator that did not wait
    due = going.acknowledge()
    assert going.said == []
    assert going.state(second) is Consent.PROPOSED
    assert (due - going.charite.clock.time).days == 13
    going.charite.clock.pass_(days=14)
    going.acknowledge()
    assert [body["class"] for body in going.said] == ["operational"]
    assert going.state(second) is Consent.IN_FORCE


def test_a_material_change_is_never_acknowledged_whatever_an_operator_calls_it(going):
    second = going.propose(MATERIAL)
    going.follow(second)
    going.charite.clock.pass_(days=20)
    assert going.acknowledge() is None
    assert going.said == []
    assert going.state(second) is Consent.PROPOSED
    assert going.state(going.first) is Consent.OUTDATED


def test_fewer_rounds_ask_for_consent_since_a_consent_names_the_rounds(going):
    second = going.propose({**NOTICE, "schedule.rounds": 10})
    going.follow(second)
    going.charite.clock.pass_(days=20)
    going.acknowledge()
    assert going.said == []


def test_the_coordinators_word_alone_acknowledges_nothing(going):
    second = going.propose(EDITORIAL)
    for document, state in ((going.first, "superseded"), (second, "in-force")):
        going.charite.take(AgreementState(document.digest, state))
    going.acknowledge()
    assert going.said == []


def test_nothing_goes_on_by_itself_after_an_agreement_is_complete(going):
    second = going.propose(EDITORIAL)
    said = {"rests_on": [], "sites": []}
    for kind, one in (("complete", going.first), ("in-force", second)):
        body = {"agreement": one.digest, "material": one.material, **said}
        going.log.coordinator(f"agreement-{kind}", body)
        going.charite.take(AgreementState(one.digest, kind))
    going.acknowledge()
    assert going.said == []
    assert going.state(second) is Consent.PROPOSED


def test_an_objection_is_carried_over_and_the_officer_alone_ends_it(going):
    charite, second = going.charite, going.propose(OPERATIONAL)
    charite.store.now(lambda c: office.object_to(c, charite.m, going.first, "our nights"))
    charite.clock.pass_(days=14)
    going.hand_over()
    going.follow(second)
    going.acknowledge()
    assert going.state(second) is Consent.OBJECTED
    draft = charite.store.look(lambda c: office.resume_draft(c, charite.m, second))
    charite.deliver(drafts.sign(draft, officer_of(SITE)))
    assert going.state(second) is Consent.IN_FORCE
    going.hand_over()


def test_who_withdrew_is_not_brought_back(going):
    charite, second = going.charite, going.propose(EDITORIAL)
    charite.store.now(lambda c: office.withdraw(c, charite.m, going.first))
    going.hand_over()
    going.follow(second)
    going.acknowledge()
    assert going.said == []


def test_an_acknowledgement_that_the_ledger_refused_permits_nothing_and_is_not_repeated(going):
    second = going.propose(EDITORIAL)
    going.follow(second)
    going.acknowledge()
    charite = going.charite
    (said,) = charite.said("change-acknowledged")
    digest = said.statement.digest
    charite.store.now(
        lambda c: journal.mark(
            c, FEDERATION, digest, status=journal.VOID, rule="no-consent", seq=None
        )
    )
    assert going.state(second) is Consent.PROPOSED
    going.acknowledge()
    assert len(going.said) == 1


def test_what_asks_for_no_consent_cannot_be_declined(going):
    charite, second = going.charite, going.propose(OPERATIONAL)
    with pytest.raises(Refused) as refused:
        charite.store.look(lambda c: office.decline_draft(c, charite.m, second, "no"))
    assert refused.value.rule == "no-consent-asked"
    third = going.propose(MATERIAL)
    assert charite.store.look(lambda c: office.decline_draft(c, charite.m, third, "no"))


def test_the_administrator_is_told_what_comes_by_itself_and_what_waits(going):
    from site_agent import answers

    going.propose(OPERATIONAL)
    (note,) = [n for n in answers.status(going.charite.m).notes if "takes force" in n]
    assert "concilium-site object" in note
    going.propose(MATERIAL)
    assert any("waits for your answer" in n for n in answers.status(going.charite.m).notes)


def test_the_class_is_that_of_the_strongest_change(going):
    second = going.propose({**OPERATIONAL, "title": "Another"})
    change = going.charite.store.look(
        lambda c: changing.change_of(c, going.charite.m, second.digest)
    )
    assert change.klass is Klass.OPERATIONAL


async def test_training_goes_on_with_the_control_variate_of_the_terms_before(going):
    from site_agent import custody
    from site_agent.store.carried import COMMITTED, Control

    charite = going.charite
    path = hashlib.sha256(b"c").hexdigest()
    kept = Control(going.first.digest, 1, 1, path, COMMITTED)
    charite.store.now(lambda c: carried.keep_control(c, FEDERATION, kept))
    second = going.propose(EDITORIAL)
    going.follow(second)
    going.acknowledge()
    found = charite.store.look(lambda c: custody.own(c, charite.m, second.digest))
    assert found == kept
