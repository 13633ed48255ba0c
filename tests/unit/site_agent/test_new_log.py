"""A hospital at a log that begins anew: it stops, sees what was lost, goes on when told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from hospital import FEDERATION, SITE, officer_of
from simulated import Log

from governance import statements
from governance.ledger import checkpoint, store
from governance.ledger import store as ledger
from protos.errors import ConciliumError, Refused
from protos.words import CosignatureSent, StatementReceipt, StatementSent
from site_agent import auditing, deciding, drafts, trusting
from site_agent.readiness import Readiness
from site_agent.store import journal, notes, work
from site_agent.store.copy import Copy
from site_agent.voice import Saying, say


class Fallen(Log):
    """The log that goes on from a backup of another."""

    def __init__(self, hospital, old, path):
        with closing(sqlite3.connect(old)) as ours, closing(sqlite3.connect(path)) as new:
            ours.backup(new)
        self.hospital, self.authority = hospital, hospital.authority
        self.key = self.authority.ledger_key()
        self.engine = ledger.open_engine(f"sqlite:///{path}")

    def begin(self, last):
        """Declare the new log, after which everything that `last` covers beyond is lost."""
        head = self.do(store.head)
        size = int(last.splitlines()[1])
        body = {"backup": head.size, "size": head.size, "root": head.root.hex()}
        body |= {"lost": size - head.size, "last": last}
        self.say("log-recovered", body, "operator/ops", officer_of("operator"))
        return self


class Scene:
    """A post whose log lost its end: first what was backed up, then what came after it."""

    def __init__(self, post, place):
        self.post, self.charite, self.place = post, post.charite, place
        self.document = self.charite.proposed()
        post.log.propose(self.document)
        self.fallen = None

    def back_up(self):
        self.fallen = Fallen(self.charite, self.place / "log.db", self.place / "fallen.db")

    async def consent(self):
        """Consent, and see it in the ledger."""
        self.charite.consent(self.document)
        await self.taken()

    async def taken(self):
        for sent in self.charite.sent(StatementSent):
            said = statements.read(sent.envelope)
            seq = self.post.log.append(said, sent.disclosures)
            self.charite.take(StatementReceipt(said.digest, accepted=True, seq=seq))
        await self.post.see()

    def held(self):
        size = self.post.cosigned
        return self.post.copy.now(lambda c: ledger.checkpoint_of(c, size))

    async def meet(self, last=None):
        """Let the agent meet the new log, and look at it."""
        self.fallen.begin(last or self.held())
        await self.meet_as_it_is()

    async def meet_as_it_is(self):
        self.post.link.log = self.fallen
        with pytest.raises(ConciliumError):
            await self.post.witness.witness(self.fallen.checkpoint())
        assert self.post.note(notes.ALARM)
        await self.post.witness._catch_up(self.post.note(notes.CHECKPOINT), "")

    def draft(self):
        return self.charite.store.look(lambda c: trusting.draft(c, self.charite.m))

    def accept(self):
        draft = drafts.sign(self.draft(), officer_of(SITE))
        return self.charite.store.now(lambda c: trusting.deliver(c, self.charite.m, draft))

    async def go_on(self):
        await self.post.witness._go_on()

    def copies(self):
        return sorted(path.name for path in self.charite.premises.copies.glob("*.db"))


@pytest.fixture
def scene(post, tmp_path):
    made = Scene(post, tmp_path)
    yield made
    if made.fallen is not None:
        made.fallen.close()


@pytest.fixture
async def lost(scene):
    """The consent of this hospital is in what was lost."""
    await scene.post.see()
    scene.back_up()
    await scene.consent()
    return scene


async def test_a_new_log_stops_the_site_as_any_other_history_and_is_told_apart(lost):
    await lost.meet()
    assert lost.post.note(notes.EVIDENCE)
    assert lost.post.note(notes.NEW_LOG)
    assert lost.post.cosigned == 8
    with pytest.raises(Refused):
        await lost.post.witness.witness(lost.fallen.checkpoint())


async def test_the_administrator_reads_what_was_lost_and_what_of_it_was_ours(lost):
    await lost.meet()
    shown = lost.draft().shown
    assert "kept    the first 6 entries" in shown
    assert "lost    entries 6 to 7 of the log before (2 entries, from 2026-11-21" in shown
    assert "hospital's copy. Before you accept," in shown
    assert "consent-given" in shown
    assert "nothing is trained here and nothing is cosigned" in shown


async def test_a_rewritten_history_is_offered_to_nobody(lost):
    lost.fallen.propose(lost.charite.document(title="Another past"))
    await lost.meet_as_it_is()
    assert lost.post.note(notes.NEW_LOG) == ""
    with pytest.raises(Refused) as refused:
        lost.draft()
    assert refused.value.rule == "no-new-log"
    assert "the alarm is of another kind" in refused.value.what


async def test_a_loss_that_is_told_too_small_is_offered_to_nobody(lost):
    first = lost.held()
    lost.post.log.propose(lost.charite.document(title="Another"))
    await lost.post.see()
    await lost.meet(last=first)
    assert lost.post.note(notes.NEW_LOG) == ""
    assert lost.post.note(notes.ALARM)


async def test_a_site_that_saw_nothing_of_what_is_lost_must_accept_too(scene):
    await scene.post.see()
    scene.back_up()
    scene.post.log.propose(scene.charite.document(title="Never seen here"))
    sent = scene.post.log.checkpoint()
    await scene.meet(last=sent.note)
    assert scene.post.note(notes.ALARM).startswith("new-log")
    assert "Nothing that charite said is lost." in scene.draft().shown
    assert scene.post.cosigned == 6


async def test_the_officer_accepts_and_the_copy_of_before_is_kept(lost):
    await lost.meet()
    before = lost.held()
    accepted = lost.accept()
    assert accepted.body["held"] == before
    assert lost.copies() == ["hearts.db", "hearts.new.db"]
    await lost.go_on()
    kept = f"hearts.before-{accepted.body['declared'][:12]}.db"
    assert lost.copies() == [kept, "hearts.db"]
    old = Copy.open(lost.charite.premises.copies / kept)
    assert old.now(lambda c: ledger.checkpoint_of(c, 8)) == before
    old.close()
    assert lost.post.note(notes.ALARM) == ""
    assert lost.post.cosigned == 7
    (word,) = lost.charite.sent(CosignatureSent)[-1:]
    assert checkpoint.parse_body(lost.held().partition("\n\n")[0] + "\n").size == word.size


async def test_after_accepting_what_the_officer_signed_goes_again_before_the_acceptance(lost):
    await lost.meet()
    lost.accept()
    sent = len(lost.charite.sent(StatementSent))
    await lost.go_on()
    again = [statements.read(s.envelope) for s in lost.charite.sent(StatementSent)[sent:]]
    assert [one.kind for one in again][:2] == ["consent-given", "log-accepted"]
    for word in lost.charite.sent(StatementSent)[sent:][:2]:
        lost.fallen.append(statements.read(word.envelope), word.disclosures)


async def test_what_cannot_follow_in_the_new_log_is_asked_anew(scene):
    await scene.post.see()
    other = scene.charite.document(title="A second study", schedule__rounds=5)
    scene.back_up()
    scene.post.log.propose(scene.charite.proposed(other))
    scene.charite.consent(other)
    await scene.taken()
    await scene.meet()
    assert "Cannot be sent again" in scene.draft().shown
    scene.accept()
    await scene.go_on()
    (consent,) = scene.charite.said("consent-given")
    assert (consent.status, consent.rule) == (journal.VOID, "lost-with-log")
    (accepted,) = scene.charite.said("log-accepted")
    scene.fallen.append(accepted.statement)


async def test_what_was_spent_in_a_lost_round_counts_on_and_the_round_may_be_held_again(lost):
    charite = lost.charite
    task = charite.task(lost.document)
    charite.take(task)
    lost.post.log.in_force(lost.document)
    await lost.post.see()
    facts = await lost.post.witness.facts_for(task, timedelta(), Readiness(charite.m))
    held = charite.held(task)
    charite.store.now(lambda c: deciding.decide(c, charite.m, held, facts))
    spent = charite.store.look(lambda c: work.spent_on(c, "patients"))
    assert len(spent) == 1
    await lost.meet()
    accepted = lost.accept()
    said = accepted.body["spent"]["patients"]
    assert said["epsilon"] == spent[0].epsilon_total
    await lost.go_on()
    assert charite.store.look(lambda c: work.spent_on(c, "patients")) == spent
    newest = charite.store.look(lambda c: work.last_taken_part(c, FEDERATION, task.kind))
    assert newest == (0, 0)


async def test_going_on_may_be_broken_off_between_two_files(lost):
    await lost.meet()
    accepted = lost.accept()
    lost.post.copy.close()
    premises = lost.charite.premises
    before = premises.copy_before(FEDERATION, accepted.body["declared"])
    premises.copy_of(FEDERATION).replace(before)  # and the power went
    lost.post.open()
    await lost.go_on()
    assert lost.copies() == [before.name, "hearts.db"]
    assert lost.post.cosigned == 7


async def test_what_was_lost_with_a_declared_new_log_is_no_fault_of_the_ledger(lost):
    saying = Saying("software-started", {"program": "x", "version": "1", "os": "y"}, "always")
    lost.charite.store.now(lambda c: say(c, lost.charite.m.voice, saying))
    await lost.taken()
    await lost.meet()
    lost.accept()
    await lost.go_on()
    await lost.post.witness._catch_up("", lost.post.note(notes.RELINK))
    answer, found = auditing.audit(lost.charite.m)
    assert (found, list(answer.rows)) == (False, [])


async def test_nothing_is_accepted_twice_or_after_another_was_declared(lost):
    await lost.meet()
    draft = drafts.sign(lost.draft(), officer_of(SITE))
    other = lost.draft()
    assert other.payload != b""
    lost.charite.store.now(lambda c: notes.set_note(c, FEDERATION, notes.NEW_LOG, ""))
    with pytest.raises(Refused) as refused:
        lost.charite.store.now(lambda c: trusting.deliver(c, lost.charite.m, draft))
    assert refused.value.rule == "no-new-log"
