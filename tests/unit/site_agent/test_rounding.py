"""What of a task's time others see."""

from __future__ import annotations

import pytest

from protos.words import TaskKind
from site_agent.agent import TaskState
from site_agent.rounding import in_tenths, rounded_up_s


@pytest.mark.parametrize(
    ("took", "seen"),
    [(0.0, 0), (0.01, 1), (1.0, 1), (1.2, 2), (59.1, 60), (61, 70), (600, 600), (601, 660)],
)
def test_time_is_rounded_up_and_never_down(took, seen):
    assert rounded_up_s(took) == seen


@pytest.mark.parametrize(
    ("done", "planned", "seen"),
    [(0, 20, 0), (1, 20, 0), (2, 20, 2), (19, 20, 18), (20, 20, 20), (3, 4, 3), (7, 0, 7)],
)
def test_steps_are_seen_in_tenths_of_the_task(done, planned, seen):
    assert in_tenths(done, planned) == seen


@pytest.mark.parametrize("kind", [TaskKind.TRAIN, TaskKind.EVALUATE])
async def test_what_a_task_made_leaves_when_its_time_may_be_seen(bench, charite, kind):
    document = charite.consented()
    if kind is TaskKind.TRAIN:
        await bench.done(document)
    else:
        task = bench.offer(document, kind=kind)
        await bench.until(task, TaskState.DONE)
    assert len(bench.worked_s) == 1
