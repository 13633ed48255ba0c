"""What a session begins with and may carry; who breaks that hears the rule."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from scripted_site import Ended, channel_to, refused
from structlog.testing import capture_logs

from protos import codec
from protos.concilium.v1 import federation_pb2
from protos.words import CosignatureSent, FromSite, StatementSent, TaskAnswer

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts" / "wire"))
import spoken


async def test_second_session_of_a_site_replaces_the_first(fed):
    (amc,) = await fed.come("amc")
    other = type(amc)(amc.identity, amc.officer)
    await other.connect()
    over = await amc.ended()
    assert over.rule == "session-replaced"
    other.chains = amc.chains
    body = {"program": "x", "version": "1", "os": "y"}
    assert (await other.say("software-started", body)).accepted
    await other.close()


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_clock_that_is_off_by_more_than_five_minutes_gets_a_goodbye(fed, minutes):
    amc = fed.site("amc")
    with pytest.raises(Ended) as ended:
        await amc.connect(clock=datetime.now(UTC) + timedelta(minutes=minutes))
    assert ended.value.rule == "clock-skew"
    assert "clock" in ended.value.said
    await amc.connect(clock=datetime.now(UTC) + timedelta(minutes=minutes / 2))


@pytest.mark.parametrize(
    ("lowest", "highest", "who"), [(2, 9, "the coordinator"), (0, 0, "this site")]
)
async def test_no_common_version_gets_a_goodbye_that_says_who_must_upgrade(
    fed, lowest, highest, who
):
    amc = fed.site("amc")
    with pytest.raises(Ended) as ended:
        await amc.connect(protocol_lowest=lowest, protocol_highest=highest)
    assert ended.value.rule == "protocol-version"
    assert who in ended.value.said
    await amc.connect(protocol_lowest=0, protocol_highest=9)


async def test_session_that_begins_without_a_hello_is_refused(fed):
    amc = fed.site("amc")
    async with amc.calls() as stub:
        call = stub.Session(wait_for_ready=True)
        await call.write(federation_pb2.FromSite(seq=1, task_answer={"task": "a/b"}))
        async with refused("hello-first", grpc.StatusCode.INVALID_ARGUMENT):
            await call.read()


HOSTILE = {
    "no body": federation_pb2.FromSite(),
    "a rule that is none": federation_pb2.FromSite(
        seq=1, task_answer={"task": "a/b", "rule": "\x00" * 200}
    ),
    "an envelope too large": federation_pb2.FromSite(
        seq=1, statement={"envelope": b"x" * 1_000_000}
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_message_that_breaks_a_limit_ends_the_session_and_not_the_coordinator(fed, what):
    (amc,) = await fed.come("amc")
    with contextlib.suppress(grpc.aio.AioRpcError):
        await amc._call.write(HOSTILE[what])
    await amc.ended_by("INVALID_ARGUMENT")
    await amc.connect()


@pytest.mark.parametrize(
    ("kind", "body", "rule"),
    [
        ("evaluation-made", {}, "bad-body"),
        ("evaluation-made", {"round": "x", "attempt": 1, "agreement": 1}, "bad-body"),
        ("task-refused", {"task": []}, "bad-body"),
        ("consent-withdrawn", {"agreement": "none"}, "bad-body"),
        ("made-up", {}, "unknown-kind"),
        ("round-closed", {}, "bad-body"),
        ("contribution-made", {}, "bad-body"),
    ],
)
async def test_statement_of_another_form_gets_a_receipt_that_names_the_rule(
    fed, kind, body, rule
):
    (amc,) = await fed.come("amc")
    receipt = await amc.say(kind, body)
    assert (receipt.accepted, receipt.rule) == (False, rule)
    assert amc.over is None


async def test_envelope_that_is_none_gets_a_receipt(fed):
    (amc,) = await fed.come("amc")
    await amc.send(StatementSent(b"{}"))
    await amc.acknowledged()
    await amc.send(TaskAnswer("a/b", accepted=True))
    await amc.send(CosignatureSent(1, "no line"))
    await amc.acknowledged()
    assert amc.over is None


async def test_site_of_the_last_release_is_welcome(fed):
    pool = descriptor_pool.DescriptorPool()
    for file in spoken.last_release().file:
        pool.Add(file)
    says, hears = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"concilium.v1.{name}"))
        for name in ("FromSite", "ToSite")
    )
    amc = fed.site("amc")
    hello = codec.from_site_bytes(FromSite(amc.hello(protocol_lowest=1, protocol_highest=1)))
    async with channel_to(amc.identity) as channel:
        call = channel.stream_stream(
            "/concilium.v1.Federation/Session",
            request_serializer=says.SerializeToString,
            response_deserializer=hears.FromString,
        )()
        await call.write(says.FromString(hello))
        assert (await call.read()).welcome.protocol == 1
        call.cancel()


async def test_goodbye_to_a_site_of_another_version_is_logged(fed):
    with capture_logs() as said, pytest.raises(Ended):
        await fed.site("amc").connect(protocol_lowest=2, protocol_highest=9)
    (line,) = [line for line in said if line["event"] == "goodbye"]
    assert (line["site"], line["rule"]) == ("amc", "protocol-version")
    assert "the coordinator must upgrade" in line["what"]
