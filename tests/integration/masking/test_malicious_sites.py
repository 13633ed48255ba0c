"""R12, R13 and a wrong peer set: what a malicious hospital does to a sum, and who is named."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from masked import NAMES
from summed import is_the_mean_of

from coordinator import unmasking
from governance import tensors
from governance.secagg import agreed, site
from governance.secagg import coordinator as server
from governance.secagg.shamir import PRIME, Share, value_at
from protos.errors import PeerFault, Refused
from protos.words_masks import Opened
from protos.words_operator import RoundsRequest
from site_agent import contribution, masking, transfers, vectors

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

LIAR = "gemelli"
REST = [name for name in NAMES if name != LIAR]
ONCE = {"schedule.rounds": 1, "round.attempts": 1}


def moved(shares):
    read = {name: Share.from_bytes(share) for name, share in shares.items()}
    return {name: Share((one.y + 1) % PRIME).to_bytes() for name, one in read.items()}


@pytest.fixture
def lies(monkeypatch):
    """Let a hospital change what it says in a masked sum."""

    def changed(kind, change):
        say = masking._say

        def says(c, m, task, said):
            if m.site == LIAR and isinstance(said, kind):
                said = change(said)
            say(c, m, task, said)

        monkeypatch.setattr(masking, "_say", says)

    return changed


def named(fed):
    """Who is named for wrong shares in the ledger, and who for a wrong vector."""
    steps = [e.body for e in fed.entries("masking-step") if e.body["refused"]]
    refused = [(e.body["site"], e.body["refusal"]) for e in fed.entries("contribution-refused")]
    return [one["refused"] for one in steps], refused


def why(fed):
    """By which rule the one round was abandoned, and who broke it."""
    (ended,) = [e.body for e in fed.entries("round-abandoned")]
    return ended["rule"], ended["refused"]


# --- R12 -----------------------------------------------------------------------------------


async def test_r12_who_opens_wrong_shares_is_named_and_the_sum_is_right(fed, lies):
    lies(Opened, lambda said: Opened(moved(said.own_masks), said.keys))
    await fed.agreed(changes=ONCE)
    await fed.until_closed_round(1)
    is_the_mean_of(fed, list(NAMES))
    assert named(fed) == ([{LIAR: "secagg-r12"}], [])


async def test_r12_where_too_few_right_shares_are_left_nothing_is_committed(fed, lies):
    lies(Opened, lambda said: Opened(said.own_masks, moved(said.keys)))
    await fed.agreed(changes=ONCE)
    fed.agents["ucl"].worker.train = fails
    await fed.until_ended((1, 1, "abandoned", "gate"))
    assert why(fed) == ("secagg-r12", {LIAR: "secagg-r12"})
    assert not fed.entries("round-closed")


async def test_who_was_named_is_not_asked_again_where_enough_others_are_ready(fed, lies):
    begun = []  # in round 2, when all five are ready

    def says(said):
        return Opened(said.own_masks, moved(said.keys)) if begun else said

    async def trains(job, progress):
        if fed.entries("round-closed") and not begun:
            begun.append(job)
            await fails(job, progress)
        return await train(job, progress)

    lies(Opened, says)
    worker = fed.agents["ucl"].worker
    train, worker.train = worker.train, trains
    await fed.agreed(changes={"sites.ready_at_least": 4, "round.attempts": 2})
    await fed.until_closed_round(2)
    asked = [e.body["sites"] for e in fed.entries("round-opened")][1:]
    assert asked == [list(NAMES), REST]
    assert why(fed) == ("secagg-r12", {LIAR: "secagg-r12"})


async def fails(_job, _progress):
    raise RuntimeError("the cohort is gone")


def shifted_by_one(shares):
    """Shares that move each secret by one where the first four are put together."""
    places = range(1, 5)
    mine = NAMES.index(LIAR) + 1
    step = pow(value_at({at: Share(int(at == mine)) for at in places}, 0), -1, PRIME)
    read = {name: Share.from_bytes(share) for name, share in shares.items()}
    return {name: Share((one.y + step) % PRIME).to_bytes() for name, one in read.items()}


async def test_without_r12_the_sum_is_another_and_nobody_is_named(fed, lies, monkeypatch):
    lies(Opened, lambda said: Opened(shifted_by_one(said.own_masks), said.keys))
    monkeypatch.setattr(server, "r12_same", lambda *_: True)
    monkeypatch.setattr(server, "r12_fits", lambda *_: True)
    unmask, found = server.unmask, []

    def unmasks(*args):
        found.append(unmask(*args))
        return found[0]

    monkeypatch.setattr(server, "unmask", unmasks)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: [r for r in fed.rounds() if r[2] != "open"])
    assert found[0].total.tolist() != fed.plain_mean(list(NAMES))._total.tolist()
    assert named(fed) == ([], [])


# --- R13 -----------------------------------------------------------------------------------


def sends(monkeypatch, change):
    """Let a hospital send another vector than the one that it masked."""
    make = vectors._masked

    def makes(run, agreement, signer, update, folder):
        ref = make(run, agreement, signer, update, folder)
        if run.site != LIAR:
            return ref
        vector = tensors.load(tensors.path_of(folder, ref.digest))[agreed.MASKED]
        return tensors.write({agreed.MASKED: change(vector)}, folder)

    monkeypatch.setattr(vectors, "_masked", makes)


async def test_r13_a_vector_of_another_length_is_refused_in_the_ledger(fed, monkeypatch):
    sends(monkeypatch, lambda vector: vector[:2])
    await fed.agreed(changes=ONCE)
    await fed.until_closed_round(1)
    is_the_mean_of(fed, REST)
    assert named(fed) == ([], [(LIAR, "secagg-r13")])


@pytest.mark.parametrize("spoilt", [b"\0", b"more"], ids=["other bytes", "too many"])
async def test_r13_who_sends_other_bytes_than_it_declared_is_out_before_the_deadline(
    fed, monkeypatch, spoilt
):
    chunks, send = transfers._chunks, contribution.send

    def is_the_liar_s(handle):
        return f"/{LIAR}/" in str(Path(f"/proc/self/fd/{handle}").readlink())

    async def other_bytes(handle, offset):
        liar = is_the_liar_s(handle)
        async for chunk in chunks(handle, offset):
            yield chunk[:-1] + spoilt if liar else chunk

    async def says_nothing_of_it(m, *args, **how):
        try:
            return await send(m, *args, **how)
        except (Refused, PeerFault):
            await asyncio.Event().wait()

    monkeypatch.setattr(transfers, "_chunks", other_bytes)
    monkeypatch.setattr(contribution, "send", says_nothing_of_it)
    await fed.agreed(changes=ONCE)
    await fed.until_holds(lambda: [step for step, *_ in fed.steps()][-1:] == ["opened"])
    assert fed.steps()[3] == ("signed", REST, [LIAR])
    assert named(fed) == ([], [(LIAR, "secagg-r13")])


async def test_without_r13_a_vector_too_long_is_in_the_sum(fed, monkeypatch):
    sends(monkeypatch, lambda vector: np.concatenate([vector, vector[:1]]))
    monkeypatch.setattr(unmasking, "check_vector", lambda *_: None)
    await fed.agreed(changes=ONCE)
    await fed.until_closed_round(1)
    assert LIAR in fed.closed()["sites_in"]
    with pytest.raises(AssertionError, match="masked updates of different sizes"):
        fed.verified()  # an auditor sees it even so
    fed.verified = lambda: None


# --- a wrong peer set ----------------------------------------------------------------------


async def test_a_site_that_masks_for_other_peers_fails_the_round_and_names_nobody(
    fed, monkeypatch
):
    mask = site.apply

    def masks_for_some(state, vector):
        before = state.before.before
        held = dict(state.held)
        if before.site == LIAR:
            del held["ucl"]
        mask(replace(state, held=held), vector)

    monkeypatch.setattr(site, "apply", masks_for_some)
    # In so many coordinates a sum of masks is longer than any mean.
    await fed.agreed(changes=ONCE | {"model": {"name": "mlp", "hidden": [16], "seed": 1}})
    await fed.until_ended((1, 1, "abandoned", "gate"))
    assert why(fed) == ("norm", {})
    assert named(fed) == ([], [])
    assert not fed.entries("complaint")
    asked = await fed.ask(lambda console: console.rounds(RoundsRequest(1)), by="van-dijk")
    assert [one.reason for one in asked.attempts] == ["gate (norm)"]
