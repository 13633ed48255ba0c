"""`recover`: the officer's word that a store was lost or old, and what it takes as spent.

The store has learnt from the ledger what its keys signed (`learning`). What is spent is now the
larger of both, and every task that was sent and not settled with it. c_i is forgotten, since it
may be of a round that this store does not know. Nothing is trained before the officer signed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from governance import statements
from governance.counts import count
from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import decimal_text
from protos.words import TaskAnswer, TaskId
from site_agent import custody, learning, office, resending, rollback, voice
from site_agent.agent import TaskState
from site_agent.store import journal, letters, notes, work
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from governance.statements import Statement
    from site_agent.drafts import Draft
    from site_agent.learning import Learnt, Read
    from site_agent.membership import Membership

KIND = "store-recovered"
_UNSIGNED = "its store was brought back, and the officer has not signed for it yet"


@dataclass(frozen=True, slots=True)
class Found:
    """What was read and learnt; `before` is ε of each cohort as the store had it."""

    size: int
    learnt: Learnt
    before: Mapping[str, str]


def spent(c: Connection, m: Membership) -> dict[str, dict[str, str]]:
    """Return δ and ε of each cohort that anything was ever reserved from."""
    delta = m.settings.policy.cap.delta
    return {
        cohort: {
            "delta": decimal_text(delta),
            "epsilon": format_epsilon(
                epsilon([one.release for one in work.spent_on(c, cohort)], delta)
            ),
        }
        for cohort in work.cohorts(c)
    }


def learn(c: Connection, m: Membership, found: Read, others: tuple[str, ...]) -> Learnt:
    """Learn what the log says, and let no agent start before the officer signed for it.

    `others` are the hospital's other federations, of which the store is as old.
    """
    learnt = learning.learn(c, m, found)
    tasks = " ".join(one.task for one in learnt.tasks)
    notes.set_note(c, m.federation, notes.OPEN_TASKS, tasks)
    rollback.keep(c, m.federation, rollback.why(c, m.federation) or _UNSIGNED)
    if learnt.kinds:
        for other in others:
            said = "its store is as old as another federation's, for which it was recovered"
            rollback.keep(c, other, rollback.why(c, other) or said)
    return learnt


def draft(c: Connection, m: Membership, found: Found) -> Draft:
    """Compose the statement, with the text that is shown to the officer who signs it."""
    now = spent(c, m)
    shown = "\n".join(_lines(m, found, now)) + "\n"
    body: dict[str, Any] = {
        "review": hashlib.sha256(shown.encode()).hexdigest(),
        "size": found.size,
        "spent": now,
        "tasks": len(found.learnt.tasks),
    }
    return office.compose(c, m, KIND, body, (), shown)


def deliver(c: Connection, m: Membership, signed: Draft) -> Statement:
    """Take the signed word: c_i and what was at work are forgotten, the agent may start."""
    statement = statements.read(signed.envelope)
    office.check_signed(c, m, statement, ())
    federation = m.federation
    _forget_work(c, m)
    letters.begin_anew(c, federation)
    notes.set_note(c, federation, notes.RENUMBER, "yes")
    for name in (notes.ROLLED_BACK, notes.RELINK, notes.CHECKPOINT, notes.FAULT):
        notes.set_note(c, federation, name, "")
    _say_again(c, m)
    voice.enqueue(c, federation, statement, Saying(KIND, statement.body, "officer"))
    _refuse_open(c, m)
    return statement


def _forget_work(c: Connection, m: Membership) -> None:
    federation = m.federation
    custody.erase(c, m)
    for held in work.active(c, federation):
        task = held.task.task
        work.move(c, federation, task, state=TaskState.FAILED, rule=KIND)


def _say_again(c: Connection, m: Membership) -> None:
    """Void what was never sent and cannot follow; say again what lasts beyond a round."""
    own = m.voice.key.key_id
    waiting = []
    for key in journal.keys(c, m.federation):
        settled = journal.settled_chain(c, m.federation, key)
        for status in (journal.QUEUED, journal.FLYING):
            for one in journal.by_key(c, m.federation, key, status=status):
                overtaken = one.statement.counter <= settled.counter
                if key == own or overtaken:
                    place = (m.federation, one.statement.digest)
                    journal.mark(c, *place, status=journal.VOID, rule=KIND)
                if not (key != own and overtaken):
                    waiting.append(one)
    resending.again(c, m, waiting)


def _refuse_open(c: Connection, m: Membership) -> None:
    """Answer each task that is open: what it would have released is spent, and not made."""
    for task in notes.note(c, m.federation, notes.OPEN_TASKS).split():
        answer = TaskAnswer(TaskId(task), accepted=False, rule=KIND)
        letters.send(c, m.federation, answer, rule="task-refused")
    notes.set_note(c, m.federation, notes.OPEN_TASKS, "")


# --- in words ----------------------------------------------------------------------------


def _lines(m: Membership, found: Found, now: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    learnt = found.learnt
    yield f"The store of {m.site} in {m.federation} was lost, or is an old one or a copy."
    yield f"  read     the ledger's first {count(found.size, 'entry')}, checked as ever"
    told = count(len(learnt.kinds), "statement")
    yield f"  learnt   {told} that keys of this hospital signed and the store did not know"
    for kind, number in sorted(Counter(learnt.kinds).items()):
        yield f"             {number:>4} {kind}"
    for one in learnt.tasks:
        yield (
            f"  counted  round {one.round}, attempt {one.attempt}: sent and not settled, so it "
            "is spent"
        )
    for cohort, said in now.items():
        before = found.before.get(cohort, "0.0000")
        yield (
            f"  spent    of {cohort} ε {said['epsilon']} at δ {said['delta']}; the store said "
            f"{before}"
        )
    yield "This hospital's control variate is forgotten and begins at zero."
    if "opt-outs-applied" in learnt.kinds:
        yield (
            "PATIENTS OPTED OUT SINCE: give their list again before you start the agent: "
            "concilium-site opt-out add --from LIST"
        )
    yield "Nothing that was spent comes back. Stop every other agent of this hospital first."
