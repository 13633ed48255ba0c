"""What a malicious coordinator tries with figures under masks, and who refuses it.

Each rule counts for the purpose: what was said in the sum of updates is worth nothing here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from attacking import purpose_of, refused, with_terms
from masked import NAMES, NOISED
from test_figures import added

from coordinator import masked_figures
from governance.secagg.terms import Terms
from protos.errors import PeerFault
from protos.words import Task
from protos.words_masks import Delivered, Keys, MaskAsked, Opened, Peers, Unmask, Vector
from site_agent import masking

pytestmark = [pytest.mark.asyncio, pytest.mark.long]

VICTIM = "amc"
REST = [name for name in NAMES if name != VICTIM]


async def is_summed_without_the_victim(fed):
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, REST), REST)


class Kept:
    """What was sent in the sum of updates, kept to be sent again."""

    def __init__(self, attacker):
        self.brought, self.tasks = {}, {}
        attacker.follows(self._sent)

    def _sent(self, _, name, body):
        if isinstance(body, Task):
            self.tasks.setdefault((name, body.kind.value), body)
        elif isinstance(body, MaskAsked) and purpose_of(body.task) == "train":
            self.brought[name, type(body.asked)] = body.asked
        return body

    def again(self, attacker, kind):
        """Bring the victim in the sum of figures what it was brought in that of updates."""

        def replayed(_):
            return self.brought[VICTIM, kind]

        attacker.changes(kind, replayed, VICTIM, purpose="evaluate")


# --- R1 ------------------------------------------------------------------------------------


@pytest.fixture
def other_model(monkeypatch):
    """The coordinator asks for figures of the model that the round began with.

    Its terms and its own books fit; its ledger says the candidate, which is committed.
    """
    make = masked_figures._task

    def swapped(turn):
        return replace(make(turn), model=turn.running.model)

    monkeypatch.setattr(masked_figures, "_task", swapped)


async def test_r1_figures_of_another_model_than_the_record_says_are_refused(fed, other_model):
    await fed.agreed(changes=NOISED)
    await refused(fed, "R1", *NAMES, kind="evaluate")
    assert await fed.missing() == "too-few-sites"
    await fed.until_closed_round(1)
    assert not any(agent.worker.figures for agent in fed.agents.values())


async def test_without_that_rule_hospitals_evaluate_what_nobody_recorded(
    fed, attacker, other_model, monkeypatch
):
    monkeypatch.setattr(masking, "_check_evaluation", lambda *_: None)
    monkeypatch.setattr(masked_figures, "stated", off_the_record)
    await fed.agreed(changes=NOISED)
    await fed.until_holds(lambda: all(attacker.said(name, Vector) for name in NAMES))


def off_the_record(*_):
    raise PeerFault("the coordinator has what it wanted", rule="bad-figures")


async def test_r1_a_task_that_asks_for_plain_figures_is_refused(fed, attacker):
    attacker.changes(Task, lambda t: replace(t, masks=b""), VICTIM, purpose="evaluate")
    await fed.agreed(changes=NOISED)
    await refused(fed, "R1", VICTIM, kind="evaluate")
    assert not fed.agents[VICTIM].worker.figures
    assert [spent.purpose for spent in fed.agents[VICTIM].spent()] == ["training"]
    await is_summed_without_the_victim(fed)


async def test_r1_a_scale_in_which_figures_could_wrap_is_refused(fed, attacker):
    def wider(task):
        (part,) = Terms.from_bytes(task.masks).parts
        return with_terms(task, parts=(replace(part, fraction_bits=10),))

    attacker.changes(Task, wider, VICTIM, purpose="evaluate")
    await fed.agreed(changes=NOISED)
    await refused(fed, "R1", VICTIM, kind="evaluate")
    await is_summed_without_the_victim(fed)


# --- R2 and R9 -----------------------------------------------------------------------------


async def test_r2_a_second_sum_of_the_attempt_s_figures_is_refused(fed, attacker):
    kept = Kept(attacker)

    def again(connection, name, body):
        if name == VICTIM and isinstance(getattr(body, "asked", None), Peers):
            task = kept.tasks.get((VICTIM, "evaluate"))
            if task is not None and purpose_of(body.task) == "evaluate":
                name_ = "hearts/1/1/evaluate/again"
                attacker.send(connection, name, replace(task, task=name_))
        return body

    attacker.follows(again)
    await fed.agreed(changes=NOISED)
    await fed.until_holds(fed.agents[VICTIM].complaints)
    assert fed.agents[VICTIM].complaints() == ["secagg-r2"]
    await fed.until_closed_round(1)
    said, sites = await fed.summed()
    assert (said.values, sites) == (added(fed, NAMES), list(NAMES))
    assert len(attacker.said(VICTIM, Keys)) == 2  # one of each purpose


async def test_r9_a_second_request_is_refused_also_after_a_restart(fed, attacker):
    kept = {}

    def keep(_, name, body):
        if name == VICTIM and isinstance(getattr(body, "asked", None), Unmask):
            kept[purpose_of(body.task)] = body
        return body

    attacker.follows(keep)
    await fed.agreed(changes=NOISED)
    await fed.until_closed_round(1)
    await fed.agents[VICTIM].restart()
    await fed.base.store.write(lambda c: attacker.send(c, VICTIM, kept["evaluate"]))
    await refused(fed, "R9", VICTIM, kind="evaluate")
    assert len(attacker.said(VICTIM, Opened)) == 2  # one of each purpose


# --- replays of the other purpose ------------------------------------------------------------


@pytest.mark.parametrize(("kind", "rule"), [(Peers, "R3"), (Delivered, "R5"), (Unmask, "R8")])
async def test_what_was_said_in_the_sum_of_updates_is_refused(fed, attacker, kind, rule):
    Kept(attacker).again(attacker, kind)
    await fed.agreed(changes=NOISED)
    await refused(fed, rule, VICTIM, kind="evaluate")
    if kind is not Unmask:
        await is_summed_without_the_victim(fed)
    assert len(attacker.said(VICTIM, Opened)) == 1  # of its update's sum alone
