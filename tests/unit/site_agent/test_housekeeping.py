"""What the work folder keeps: all that may still be needed, and no more."""

from __future__ import annotations

from hospital import FEDERATION

from protos.words import Digest
from site_agent import contribution, housekeeping
from site_agent.agent import TaskState
from site_agent.jobs import Trained
from site_agent.store import carried, work
from site_agent.store.carried import DROPPED
from site_agent.store.work import Update


async def test_an_update_that_may_be_sent_again_keeps_its_control_variate(charite):
    """The round was abandoned, so that c_i⁺ was dropped; a retry makes it count after all."""
    document = charite.consented()
    task = charite.task(document)
    charite.take(task)
    folder = charite.premises.task_folder(FEDERATION, task.task)
    folder.mkdir(parents=True)
    update, control = folder / "update.safetensors", folder / "control.safetensors"
    paths = [str(path.relative_to(charite.premises.state)) for path in (update, control)]
    for path in (update, control, folder / "other.safetensors"):
        path.write_bytes(b"numbers")

    def done(c):
        work.keep_update(c, FEDERATION, task.task, Update(Digest("a" * 64), 7, paths[0], 4))
        made = Trained(update, Digest("a" * 64), 7, 4, control)
        contribution.keep_control(c, charite.m, task, made)
        (pending,) = carried.controls(c, FEDERATION, state=carried.PENDING)
        carried.set_control(c, FEDERATION, pending, DROPPED)
        work.move(c, FEDERATION, task.task, state=TaskState.DONE)

    await charite.store.do(done)
    assert await housekeeping.tidy(charite.m) == 1
    assert sorted(folder.iterdir()) == [control, update]
