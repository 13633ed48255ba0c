"""This site's part in a masked sum: its own checks, each step once, and complaints.

Every step is taken in the transaction that takes the coordinator's word for it, and what is
said goes into the outbox there. So a crash changes nothing, a step is never taken twice, and no
request can be answered a second time (R9).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from governance.consent import Consent
from governance.ledger import masking as record
from governance.ledger import tree
from governance.secagg import agreed, counted, kept, rules, site
from governance.secagg.kept import Kept
from governance.secagg.terms import Own, Terms, broken
from protos.errors import PeerFault
from protos.words import TaskAnswer, TaskKind
from protos.words_masks import (
    Delivered,
    MaskAsked,
    MaskSaid,
    Peers,
    Signed,
    Survivors,
    Unmask,
)
from site_agent import voice
from site_agent.agent import ENDS, Event, TaskState
from site_agent.progress import Told, happen, place_of
from site_agent.standing import standing_of
from site_agent.store import letters, masks, work
from site_agent.store.notes import FAULT, set_note
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from protos.words import KeyId, Task
    from protos.words_masks import SaidBody
    from site_agent.membership import Membership
    from site_agent.store.masks import Run

_log = structlog.get_logger("masks")

_R1: Final = "secagg-r1"
RULE: Final = "masks"
"""What allows a step's words to leave."""


@dataclass(frozen=True, slots=True)
class Known:
    """What this site's own copy of the ledger says, up to the head that a run names.

    Attributes:
        root: Its root there, in hexadecimal; empty where the copy does not reach it.
        agents: The agent keys that the roster's officers vouched for.
        declared: The patients that each hospital declared.
        evaluation: The model and the sites whose figures are to be summed, of that attempt.
    """

    root: str = ""
    agents: Mapping[str, KeyId] | None = None
    declared: Mapping[str, int] | None = None
    evaluation: Mapping[str, Any] | None = None


def known(c: Connection, document: Document, task: Task) -> Known | None:
    """Look up in the copy what a masked task is held against; None for a plain one."""
    if not task.masks:
        return None
    try:
        size = Terms.from_bytes(task.masks).checkpoint[0]
        root = tree.root(c, size).hex()
    except (PeerFault, LookupError, ValueError):
        return Known()
    agents = record.agents_at(c, document, size)
    declared = record.declared_at(c, document, size)
    asked = record.evaluation(c, place_of(task), until=size)
    return Known(root, agents, declared, asked)


def check_asked(task: Task, document: Document) -> None:
    """Check that a task is masked where its agreement says so, and only there.

    Raises:
        PeerFault: R1. Stops a coordinator from asking for what it can read.
    """
    agreement = document.agreement
    trains = task.kind is TaskKind.TRAIN
    masked = agreement.aggregation.secure if trains else agreement.figures_masked
    if bool(task.masks) != masked:
        raise broken("the task is not masked as its agreement says", rule="secagg-r1")


def check_newer(c: Connection, m: Membership, task: Task) -> None:
    """Check that a masked task is newer than every run that this site took part in.

    Raises:
        PeerFault: R2, before any rule that is not said in the ledger.
    """
    if task.masks:
        newest = masks.newest(c, m.federation, task.kind.value)
        rules.r2_newer((task.round, task.attempt), newest)


def join(
    c: Connection, m: Membership, task: Task, document: Document, found: Known | None
) -> None:
    """Check a run, and say this site's keys for it.

    Raises:
        PeerFault: naming R1, R2 or R4.
    """
    terms = Terms.from_bytes(task.masks)
    found = found or Known()
    purpose, agreement = task.kind.value, document.agreement
    weights = counted.weights_of(agreement, purpose, found.declared or {})
    among = [weights[site] for site in terms.roster if site in weights]
    fewest = max(m.settings.policy.minimum_sites, document.agreement.sites.close_at_least)
    own = Own(
        site=m.site,
        model=task.model.digest,
        task=agreed.task_digest(task),
        roster=found.agents or {},
        weights=weights,
        parts=counted.parts_for(agreement, purpose, among),
        minimum_sites=fewest,
        newest=masks.newest(c, m.federation, purpose),
        root=found.root,
    )
    _check_place(terms, m, task)
    _check_evaluation(terms, task, found)
    site.check(terms, own)
    run = Kept(terms, m.site, fewest, secrets.token_bytes(kept.SEED_BYTES))
    masks.begin(c, m.federation, task.task, run)
    _say(c, m, task, kept.keys(run, m.voice.key))


def _check_place(terms: Terms, m: Membership, task: Task) -> None:
    said = (terms.federation, terms.round, terms.attempt, terms.purpose)
    if said != (m.federation, task.round, task.attempt, task.kind.value):
        raise broken("the terms are of another task", rule="secagg-r1")


def _check_evaluation(terms: Terms, task: Task, found: Known) -> None:
    """Check that the ledger says before of which model figures are summed, and of whom.

    Stops a coordinator from asking for figures of another model than its record says, which
    the round that closes is held against.
    """
    if task.kind is TaskKind.TRAIN:
        return
    said = found.evaluation or {}
    if (said.get("model"), said.get("sites")) != (task.model.digest, terms.sites):
        raise broken("the ledger has another model, or other sites, to be evaluated", rule=_R1)


def take(c: Connection, m: Membership, word: MaskAsked) -> None:
    """Take one step with what the coordinator brought; a broken rule ends the run.

    Raises:
        PeerFault: there is no such run here.
    """
    held = work.find(c, m.federation, word.task)
    run = masks.find(c, m.federation, word.task, site=m.site)
    if held is None or run is None:
        raise PeerFault("a step of a masked sum that was not begun", rule="unexpected-message")
    try:
        _check_consent(c, m, held.task)
        _check_key(m, run)
        said = _taken(c, m, held.task, run, word)
    except PeerFault as fault:
        complain(c, m, held.task, fault)
        if held.state not in ENDS:
            happen(c, m, held, Event.FAILED, Told(rule=fault.rule, why=str(fault)))
        else:  # its vector is in: it takes no further step, and says so
            answer = TaskAnswer(held.task.task, accepted=False, rule=fault.rule)
            letters.send(c, m.federation, answer, rule="task-refused")
        return
    if said is not None:
        _say(c, m, held.task, said)
    elif held.state is TaskState.MASKING:
        happen(c, m, held, Event.MASKS_READY, Told())


def _check_consent(c: Connection, m: Membership, task: Task) -> None:
    if standing_of(c, m.federation, task.agreement).at(m.now()) is not Consent.IN_FORCE:
        masks.forget(c, m.federation, task.task)
        raise PeerFault("this site's consent is not in force any more", rule="no-consent")


def _check_key(m: Membership, run: Run) -> None:
    """Take no step with another agent key than the run's terms name: nobody believes it."""
    if m.voice.key.key_id != run.terms.roster[m.site]:
        raise PeerFault(
            "this site's agent key was replaced since the masked sum began", rule="key-turned"
        )


def _taken(
    c: Connection, m: Membership, task: Task, run: Run, word: MaskAsked
) -> SaidBody | None:
    """Take a step; return what is said in it."""
    asked, key = word.asked, m.voice.key
    if isinstance(asked, Unmask):
        rules.r9_once(opened=run.step == masks.OPENED)
    expected = {
        Peers: masks.KEYS,
        Delivered: masks.SHARES,
        Survivors: masks.DELIVERED,
        Unmask: masks.SIGNED,
    }
    if run.kept is None or run.step != expected[type(asked)]:
        raise PeerFault("a step of the masked sum out of its turn", rule="mask-step")
    if isinstance(asked, Unmask):
        opened = kept.opened(run.kept, key, asked)
        masks.forget(c, m.federation, task.task, step=masks.OPENED)
        return opened
    if isinstance(asked, Peers):
        sealed = kept.sealed(replace(run.kept, peers=asked.keys), key)
        masks.move(c, m.federation, task.task, step=masks.SHARES, brought=asked)
        return sealed
    if isinstance(asked, Delivered):
        kept.masked(replace(run.kept, delivered=asked), key)
        masks.move(c, m.federation, task.task, step=masks.DELIVERED, brought=asked)
        return None
    if not run.sent:
        raise broken("this site has sent no vector, and is called in", rule="secagg-r7")
    signed = kept.signature(replace(run.kept, survivors=asked.sites), key)
    masks.move(c, m.federation, task.task, step=masks.SIGNED, brought=asked)
    return Signed(signed)


def complain(c: Connection, m: Membership, task: Task, fault: PeerFault) -> None:
    """Forget a run's secrets, and say which rule was broken, signed, for the ledger."""
    masks.forget(c, m.federation, task.task)
    if not fault.rule.startswith("secagg-"):
        return
    _log.error("masked-sum-broken", task=task.task, rule=fault.rule, what=fault.what)
    set_note(c, m.federation, FAULT, f"round {task.round}: {fault.what}")
    body = {
        **place_of(task),
        "purpose": task.kind.value,
        "terms": hashlib.sha256(task.masks).hexdigest(),
        "broken": fault.rule,
    }
    voice.say(c, m.voice, Saying("complaint", body, "complaint", task=task.task))


def _say(c: Connection, m: Membership, task: Task, said: SaidBody) -> None:
    letters.send(c, m.federation, MaskSaid(task.task, said), rule=RULE)
