"""Checkpoints: every hospital gets each, and witnesses it."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from federations import SITES, ledger_of
from scripted_site import channel_to, refused

from governance.identity.keys import SigningKey
from governance.ledger import checkpoint, merkle, tree
from governance.ledger import store as ledger
from protos import codec
from protos.concilium.v1 import audit_pb2, audit_pb2_grpc
from protos.words import (
    CheckpointSent,
    ConsistencyRequest,
    CosignatureSent,
    EntriesRequest,
    TaskKind,
)


def head_of(sent, fed):
    key = checkpoint.log_key(f"concilium/{fed.base.federation}", fed.base.chronicle.key.key_id)
    return checkpoint.read(sent.note, key)


def cosigners(fed, size):
    with ledger_of(fed.url) as c:
        return sorted(ledger.cosigners(c, size))


async def test_every_site_gets_the_head_after_a_round_and_when_an_agreement_changes(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    first = {name: await fed.site(name).next(CheckpointSent) for name in SITES}
    assert len({sent.note for sent in first.values()}) == 1
    for site in fed.sites.values():
        site.works()
    await fed.until_ended((1, 1, "closed", ""))
    await fed.until(lambda: len(fed.entries("agreement-complete")) == 1)
    with ledger_of(fed.url) as c:
        size = ledger.size_of(c)
        latest = checkpoint.parse_body(ledger.latest_checkpoint(c).partition("\n\n")[0] + "\n")
        assert (latest.size, latest.root) == (size, ledger.head(c).root)


async def test_checkpoint_extends_the_last_one_that_the_site_cosigned(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc = fed.site("amc")
    first = await amc.next(CheckpointSent)
    assert (first.from_size, first.consistency) == (0, ())
    await amc.cosign(first)
    await amc.acknowledged()
    old = head_of(first, fed)
    await fed.all_in()
    for name in SITES:
        await fed.site(name).evaluate(await fed.site(name).task(TaskKind.EVALUATE))
    second = await amc.next(CheckpointSent)
    new = head_of(second, fed)
    assert second.from_size == old.size
    merkle.verify_consistency(old.size, new.size, second.consistency, old.root, new.root)
    assert "site/amc" in second.predecessor
    other = await fed.site("ucl").next(CheckpointSent)
    assert other.from_size == 0


async def test_cosignatures_are_kept_and_shown(fed):
    await fed.in_force()
    sizes = set()
    for site in fed.sites.values():
        sizes.add(await site.cosign(await site.next(CheckpointSent)))
        await site.acknowledged()
    (size,) = sizes
    assert cosigners(fed, size) == sorted(SITES)
    async with channel_to(fed.folders.identity("edpb")) as channel:
        stub = audit_pb2_grpc.AuditStub(channel)
        note = codec.note_in(await stub.Checkpoint(audit_pb2.CheckpointRequest()))
    agents = {name: fed.site(name).agent.key_id for name in SITES}
    assert set(checkpoint.witnesses(note, agents)) == set(SITES)


async def test_cosignature_that_is_bad_is_ignored_and_the_session_goes_on(fed):
    await fed.in_force()
    amc = fed.site("amc")
    sent = await amc.next(CheckpointSent)
    size = head_of(sent, fed).size
    stranger = SigningKey.generate()
    now = datetime.now(UTC)
    for line in (
        checkpoint.cosign(sent.note, site="amc", key=stranger, at=now),
        checkpoint.cosign(sent.note, site="ucl", key=fed.site("ucl").agent, at=now),
        checkpoint.cosign(sent.note, site="amc", key=amc.agent, at=now)[:-8] + "AAAAAAA=",
        "no line at all",
    ):
        await amc.send(CosignatureSent(size, line))
    await amc.send(
        CosignatureSent(
            size + 1000, checkpoint.cosign(sent.note, site="amc", key=amc.agent, at=now)
        )
    )
    await amc.acknowledged()
    assert cosigners(fed, size) == []
    await amc.cosign(sent)
    await amc.cosign(sent)
    await amc.acknowledged()
    assert cosigners(fed, size) == ["amc"]
    assert amc.over is None


async def test_site_copies_the_log_and_finds_the_checkpoint_over_it(fed):
    await fed.in_force()
    amc = fed.site("amc")
    sent = await amc.next(CheckpointSent)
    head = head_of(sent, fed)
    async with channel_to(amc.identity) as channel:
        stub = audit_pb2_grpc.AuditStub(channel)
        asked = audit_pb2.EntriesRequest(since=0, until=head.size)
        batches = [codec.entry_batch_in(batch) async for batch in stub.Entries(asked)]
        proof = await stub.Consistency(
            codec.consistency_request_out(ConsistencyRequest(3, head.size))
        )
    records = [record for batch in batches for record in batch]
    assert [record.seq for record in records] == list(range(head.size))
    assert not any(record.disclosures for record in records)
    engine = ledger.open_engine("sqlite://")
    ledger.create(engine)
    with engine.begin() as c:
        assert ledger.append_mirrored(c, records) == head.size
        assert ledger.add_checkpoint(c, sent.note).root == head.root
        hashes = codec.proof_in(proof)
        merkle.verify_consistency(3, head.size, hashes, tree.root(c, 3), head.root)
    engine.dispose()


@pytest.mark.parametrize(("since", "until"), [(5, 3), (0, 10**9), (7, 7)])
async def test_proof_that_cannot_be_is_refused(fed, since, until):
    asked = audit_pb2.ConsistencyRequest(from_size=since, to_size=until)
    async with channel_to(fed.folders.identity("edpb")) as channel:
        stub = audit_pb2_grpc.AuditStub(channel)
        if since == until:
            assert not (await stub.Consistency(asked)).hashes
            return
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Consistency(asked)
    assert error.value.code() in {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
    }


@pytest.mark.slow
async def test_entries_as_long_as_they_may_be_are_sent_all_the_same(fed):
    long = [f"{number:03d} {'x' * 190}" for number in range(210)]
    for number in range(80):
        await fed.operator_acts(("pause", "resume")[number % 2], why=long)
    wanted = codec.entries_request_out(EntriesRequest(0, 10_000))
    async with channel_to(fed.folders.identity("edpb")) as channel:
        batches = audit_pb2_grpc.AuditStub(channel).Entries(wanted)
        seqs = [e.seq async for batch in batches for e in codec.entry_batch_in(batch)]
    with ledger_of(fed.url) as c:
        assert seqs == list(range(ledger.size_of(c)))


async def test_entries_past_the_end_are_none(fed):
    async with channel_to(fed.folders.identity("edpb")) as channel:
        stub = audit_pb2_grpc.AuditStub(channel)
        asked = audit_pb2.EntriesRequest(since=10**6, until=10**7)
        assert [batch async for batch in stub.Entries(asked)] == []


async def test_log_without_a_checkpoint_says_so(fed):
    async with channel_to(fed.folders.identity("edpb")) as channel:
        stub = audit_pb2_grpc.AuditStub(channel)
        async with refused("no-checkpoint"):
            await stub.Checkpoint(audit_pb2.CheckpointRequest())
