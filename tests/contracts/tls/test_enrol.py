"""Over a real socket: a newcomer finds its coordinator by a fingerprint, and nobody else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from governance.identity import folder
from governance.identity.enrolment import Token, check_enrolment, invitation_of
from governance.identity.folder import Identity
from governance.identity.keys import SigningKey
from governance.ledger.remote import enrol
from protos import codec
from protos.concilium.v1 import enrolment_pb2_grpc
from protos.errors import ConciliumError, PeerFault, Refused, Unavailable
from protos.words import Enrolled

OFFICER = SigningKey.from_seed(bytes(range(32)))


class Door(enrolment_pb2_grpc.EnrolmentServicer):
    """Enrols by the rules, and counts what it was sent."""

    def __init__(self, fed, invitation):
        self.fed = fed
        self.invitation = invitation
        self.asked = 0

    async def Enrol(self, request, context):  # noqa: N802 - the service's name
        self.asked += 1
        now = datetime.now(UTC)
        asked = codec.enrol_request_in(request)
        try:
            statement = check_enrolment(
                asked, invitation=self.invitation, log=self.fed.log, now=now
            )
        except ConciliumError as problem:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, f"{problem.rule}: {problem.what}\nAsk."
            )
        self.invitation = replace(self.invitation, used_by=statement.digest)
        issued = self.fed.issue(asked.csr, name="charite", role="site", now=now)
        key = "concilium/heart+00000000+AAAA"
        return codec.enrolled_out(Enrolled(issued.pem_chain, self.fed.root_pem, key))

    def add(self, server):
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(self, server)


@pytest.fixture
def token(fed):
    return Token(
        "heart",
        "site",
        "charite",
        fed.root_fingerprint,
        "localhost:1",
        "localhost:2",
        bytes(32),
    )


@pytest.fixture
def door(fed, token):
    return Door(fed, invitation_of(token, expires=datetime.now(UTC) + timedelta(days=1)))


def at(token, port):
    return replace(token, enrolment=f"localhost:{port}")


def request_for(path, token, *, now=None):
    return folder.prepare(path, token, officers=[OFFICER], now=now or datetime.now(UTC))


def listening(tls, papers, door):
    return tls.serving(papers, services=[door.add], client_auth=False)


async def test_a_newcomer_enrols_and_its_certificate_opens_the_other_port(
    fed, tls, door, token, tmp_path
):
    path = tmp_path / "id"
    async with listening(tls, tls.coordinator(fed), door) as port:
        sent = at(token, port)
        enrolled = await enrol(sent, request_for(path, sent))
        folder.finish(path, enrolled, now=datetime.now(UTC))
    identity = Identity.load(path)
    async with tls.serving(tls.coordinator(fed)) as port:
        papers = type(tls.member(fed))(
            identity.tls_key_pem, identity.tls_chain_pem, identity.root_pem
        )
        assert await tls.call(port, papers)


async def test_an_answer_that_was_lost_is_asked_for_again(fed, tls, door, token, tmp_path):
    async with listening(tls, tls.coordinator(fed), door) as port:
        sent = at(token, port)
        await enrol(sent, request_for(tmp_path / "id", sent))
        enrolled = await enrol(sent, request_for(tmp_path / "id", sent))
    assert folder.finish(tmp_path / "id", enrolled, now=datetime.now(UTC))
    assert door.asked == 2


async def test_a_used_token_is_refused_with_rule_sentence_and_remedy(
    fed, tls, door, token, tmp_path
):
    async with listening(tls, tls.coordinator(fed), door) as port:
        sent = at(token, port)
        await enrol(sent, request_for(tmp_path / "a", sent))
        with pytest.raises(Refused) as refusal:
            await enrol(sent, request_for(tmp_path / "b", sent))
    assert refusal.value.rule == "token-used"
    assert "used before" in refusal.value.what
    assert refusal.value.todo == "Ask."


async def test_a_skewed_clock_is_refused(fed, tls, door, token, tmp_path):
    ahead = datetime.now(UTC) + timedelta(minutes=7)
    async with listening(tls, tls.coordinator(fed), door) as port:
        sent = at(token, port)
        with pytest.raises(Refused) as refusal:
            await enrol(sent, request_for(tmp_path / "id", sent, now=ahead))
    assert refusal.value.rule == "clock-skew"


async def test_a_stranger_in_the_coordinators_place_is_sent_nothing(
    stranger, tls, door, token, tmp_path
):
    async with listening(tls, tls.coordinator(stranger), door) as port:
        sent = at(token, port)
        with pytest.raises(Refused) as refusal:
            await enrol(sent, request_for(tmp_path / "id", sent))
    assert refusal.value.rule == "wrong-root"
    assert door.asked == 0


async def test_a_stranger_showing_the_true_root_is_sent_nothing(
    fed, stranger, tls, door, token, tmp_path
):
    papers = tls.coordinator(stranger)
    own = papers.chain.split(b"-----END CERTIFICATE-----\n")
    chain = b"-----END CERTIFICATE-----\n".join([*own[:2], fed.root_pem])
    async with listening(tls, replace(papers, chain=chain), door) as port:
        sent = at(token, port)
        with pytest.raises(PeerFault) as fault:
            await enrol(sent, request_for(tmp_path / "id", sent))
    assert fault.value.rule == "bad-chain"
    assert door.asked == 0


async def test_a_site_in_the_coordinators_place_is_sent_nothing(
    fed, tls, door, token, tmp_path
):
    rogue = tls.member(fed, name="oslo")
    papers = replace(rogue, chain=rogue.chain + fed.root_pem)
    async with listening(tls, papers, door) as port:
        sent = at(token, port)
        with pytest.raises(Refused) as refusal:
            await enrol(sent, request_for(tmp_path / "id", sent))
    assert refusal.value.rule == "wrong-name"
    assert door.asked == 0


async def shut_port():
    server = await asyncio.start_server(lambda *_: None, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_shut_door_of_a_coordinator_that_runs_is_told_from_an_absent_one(
    fed, stranger, tls, door, token, tmp_path
):
    async with listening(tls, tls.coordinator(fed), door) as port:
        sent = replace(at(token, await shut_port()), coordinator=f"localhost:{port}")
        with pytest.raises(Refused) as refusal:
            await enrol(sent, request_for(tmp_path / "id", sent))
    assert refusal.value.rule == "door-shut"
    async with listening(tls, tls.coordinator(stranger), door) as port:
        sent = replace(sent, coordinator=f"localhost:{port}")
        with pytest.raises(Unavailable):
            await enrol(sent, request_for(tmp_path / "id", sent))
    assert door.asked == 0


async def test_where_nobody_answers_is_said(token, tmp_path):
    port = await shut_port()
    sent = at(token, port)
    with pytest.raises(Unavailable) as problem:
        await enrol(sent, request_for(tmp_path / "id", sent))
    assert str(port) in str(problem.value)


async def test_what_speaks_no_tls_is_no_coordinator(token, tmp_path):
    async def babble(_, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(babble, "localhost", 0)
    async with server:
        sent = at(token, server.sockets[0].getsockname()[1])
        with pytest.raises(Unavailable):
            await enrol(sent, request_for(tmp_path / "id", sent))
