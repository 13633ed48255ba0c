"""Enrolment by file: an operator carries the request, and every check of the wire holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from federations import officer_of
from scripted_site import channel_to

from coordinator import carrying
from governance.identity import enrolment_files
from governance.identity.enrolment import mint, read_token
from governance.identity.folder import finish, prepare
from protos import codec
from protos.concilium.v1 import enrolment_pb2_grpc
from protos.errors import PeerFault, Refused

NEW = "gemelli"


def refusal(rule):
    return pytest.raises(Refused, check=lambda problem: problem.rule == rule)


class Newcomer:
    """A hospital with a file for its request and one for the response."""

    def __init__(self, fed, place, name=NEW):
        self.fed, self.name = fed, name
        self.folder = fed.folders.sites / name
        self.asked, self.given = place / "request.json", place / "response.json"

    def ask(self, token, *, at=None):
        officers = [officer_of(self.name)]
        now = at or datetime.now(UTC)
        request = prepare(self.folder, read_token(token), officers=officers, now=now)
        self.asked.write_bytes(enrolment_files.write_request(request))
        return request

    async def carried(self, *, role="site", name=None):
        def hand_in(console):
            told = {"role": role, "name": name or self.name, "now": datetime.now(UTC)}
            carrying.enrol(console, self.asked, self.given, **told)

        await self.fed.ask(hand_in)

    def take(self):
        enrolled = enrolment_files.read_response(self.given.read_bytes())
        return finish(self.folder, enrolled, now=datetime.now(UTC))


@pytest.fixture
def newcomer(fed, tmp_path):
    return Newcomer(fed, tmp_path)


async def test_a_request_goes_out_and_a_response_comes_back_as_files(fed, newcomer):
    token, _ = await fed.invite("site", NEW)
    newcomer.ask(token)
    await newcomer.carried()
    identity = newcomer.take()
    assert identity.actor == f"site/{NEW}"
    assert [e.actor for e in fed.entries("enrolled")].count(f"site/{NEW}") == 1
    await fed.come(NEW)
    assert read_token(token).secret.hex() not in newcomer.given.read_text()


async def test_a_request_may_lie_for_days_as_long_as_its_token_holds(fed, newcomer):
    token, _ = await fed.invite("site", NEW, hours=24 * 7)
    newcomer.ask(token, at=datetime.now(UTC) - timedelta(days=3))
    await newcomer.carried()
    assert newcomer.take().name == NEW


async def test_the_same_file_may_be_handed_in_again(fed, newcomer):
    token, _ = await fed.invite("site", NEW)
    newcomer.ask(token)
    await newcomer.carried()
    await newcomer.carried()
    assert newcomer.take().name == NEW
    assert [e.actor for e in fed.entries("enrolled")].count(f"site/{NEW}") == 1


async def test_a_made_up_token_enrols_nobody(fed, newcomer):
    token, _ = await fed.invite("site", NEW)
    newcomer.ask(mint(replace(read_token(token), secret=bytes(32))))
    with refusal("token-unknown"):
        await newcomer.carried()
    assert not newcomer.given.exists()


async def test_a_token_works_once(fed, newcomer, tmp_path):
    token, _ = await fed.invite("site", NEW)
    newcomer.ask(token)
    await newcomer.carried()
    thief = Newcomer(fed, tmp_path)
    thief.folder = tmp_path / "thief"
    thief.ask(token)
    with refusal("token-used"):
        await thief.carried()


async def test_the_name_that_the_operator_says_is_the_one_in_the_file(fed, newcomer):
    token, _ = await fed.invite("site", NEW)
    newcomer.ask(token)
    with refusal("request-of-another"):
        await newcomer.carried(name="karolinska")
    assert not fed.entries("enrolled")[-1].actor.endswith(NEW)


async def test_a_token_of_another_name_is_refused_by_the_coordinator(fed, tmp_path):
    token, _ = await fed.invite("site", NEW)
    other = Newcomer(fed, tmp_path, "karolinska")
    other.ask(mint(replace(read_token(token), name="karolinska")))
    with refusal("token-for-another"):
        await other.carried()


async def test_a_statement_of_the_future_is_refused(fed, newcomer):
    token, _ = await fed.invite("site", NEW)
    newcomer.ask(token, at=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises((Refused, PeerFault)):
        await newcomer.carried()


async def test_a_file_that_is_no_request_is_said(fed, newcomer):
    newcomer.asked.write_text("hello")
    with refusal("bad-enrolment"):
        await newcomer.carried()


async def test_operators_alone_carry(fed, newcomer):
    token, _ = await fed.invite("site", NEW)
    message = codec.enrol_request_out(newcomer.ask(token))
    async with channel_to(fed.folders.identity("amc")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(message)
    assert told.value.code() is grpc.StatusCode.PERMISSION_DENIED
