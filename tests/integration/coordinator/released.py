"""A federation that has trained one round, and a release of its model."""

from __future__ import annotations

from datetime import UTC, datetime

from federations import SITES, ledger_of

from coordinator import handing
from governance.ledger import store as ledger
from protos.words import CheckpointSent, TaskKind


async def trained(fed, *, witnesses=SITES, changes=(), said=None, **terms):
    """Train one round with three sites; these cosign what follows.

    `said` is what each says beside its figures, by name.
    """
    changes = {"schedule.rounds": 1, **dict(changes)}
    document = await fed.in_force(changes=changes, **terms)
    await fed.all_in()
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        assert (await fed.site(name).evaluate(task, **(said or {}).get(name, {}))).accepted
    await fed.until(lambda: bool(fed.entries("agreement-complete")))
    await witnessed(fed, *witnesses)
    return document


async def witnessed(fed, *names):
    """Let sites cosign the newest checkpoint."""
    with ledger_of(fed.url) as c:
        note = ledger.latest_checkpoint(c)
    for name in names:
        await fed.site(name).cosign(CheckpointSent(note, 0, (), ""))
        await fed.site(name).acknowledged()


async def release(fed, name="v1", *, round_=1, by="van-dijk"):
    def asking(console):
        drafted = handing.drafted(console, round_, name)
        return handing.publish(console, drafted, now=datetime.now(UTC))

    return await fed.ask(asking, by=by)
