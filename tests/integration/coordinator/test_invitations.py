"""An operator invites a newcomer, who enrols once, in time and by the open door."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

from federations import officer_of
from operators import both_in_force, refusal

from coordinator.console import replaced
from governance import statements
from governance.identity.enrolment import mint, read_token
from governance.identity.folder import finish, prepare
from governance.ledger import remote


async def test_invited_site_enrols_once_and_stands_in_the_status(fed):
    await fed.enrol("site", "gemelli")
    assert "gemelli" in {row.name for row in (await fed.status()).enrolled}
    (site,) = await fed.come("gemelli")
    assert site.welcome.protocol == 1
    enrolled = fed.entries("enrolled")[-1]
    assert enrolled.body["name"] == "gemelli"
    issued = fed.entries("certificate-issued")[-1]
    assert issued.body["serial"] == fed.folders.identity("gemelli").peer.serial


async def test_name_that_is_enrolled_is_not_invited_again(fed):
    for role, name in (("site", "amc"), ("operator", "amc"), ("site", "coordinator")):
        with refusal("already-enrolled"):
            await fed.invite(role, name)


async def test_nobody_is_invited_as_the_coordinator(fed):
    with refusal("unknown-role"):
        await fed.invite("coordinator", "other")


async def test_name_invited_twice_enrols_with_the_newer_token_alone(fed, tmp_path):
    first, _ = await fed.invite("site", "gemelli")
    second, acted = await fed.invite("site", "gemelli")
    assert replaced(acted)
    with refusal("token-expired"):
        await fed.enrol("site", "gemelli", token=first, place=tmp_path / "other")
    await fed.enrol("site", "gemelli", token=second)


async def test_token_of_an_invitation_that_two_must_sign_holds_once_both_have(fed, tmp_path):
    await both_in_force(fed)
    await fed.invite("site", "keeps-the-door-open")
    token, acted = await fed.invite("site", "gemelli")
    assert acted.pending
    with refusal("token-unknown"):
        await fed.enrol("site", "gemelli", token=token, place=tmp_path / "early")
    await fed.ask(lambda console: console.approve(acted.result), by="rossi")
    await fed.enrol("site", "gemelli", token=token)
    assert "gemelli" in [site.name for site in (await fed.status()).sites]


async def test_invitation_of_another_name_ends_no_other(fed):
    first, _ = await fed.invite("site", "gemelli")
    _, acted = await fed.invite("site", "karolinska")
    assert not replaced(acted)
    await fed.enrol("site", "gemelli", token=first)


async def test_token_used_twice_is_refused(fed, tmp_path):
    token, _ = await fed.invite("site", "gemelli")
    await fed.invite("site", "keeps-the-door-open")
    await fed.enrol("site", "gemelli", token=token)
    with refusal("token-used"):
        await fed.enrol("site", "gemelli", token=token, place=tmp_path / "other")


async def test_same_request_sent_again_gets_its_answer_again(fed):
    token, _ = await fed.invite("site", "gemelli")
    await fed.invite("site", "keeps-the-door-open")
    read, now = read_token(token), datetime.now(UTC)
    folder = fed.folders.sites / "gemelli"
    asked = prepare(folder, read, officers=[officer_of("gemelli")], now=now)
    first = await remote.enrol(read, asked)
    again = await remote.enrol(read, replace(asked, clock=datetime.now(UTC)))
    assert first.root == again.root
    assert len([e for e in fed.entries("enrolled") if e.body["name"] == "gemelli"]) == 1


async def test_token_for_another_name_role_or_none_is_refused(fed, tmp_path):
    token, _ = await fed.invite("site", "gemelli")
    read = read_token(token)
    for changed in (replace(read, name="ucl-2"), replace(read, role="operator")):
        with refusal("token-for-another"):
            place = tmp_path / f"{changed.role}-{changed.name}"
            await fed.enrol(changed.role, changed.name, token=mint(changed), place=place)
    with refusal("token-unknown"):
        made_up = mint(replace(read, secret=b"x" * 32))
        await fed.enrol("site", "gemelli", token=made_up, place=tmp_path / "made-up")
    await fed.enrol("site", "gemelli", token=token)


async def test_token_that_has_expired_is_refused(fed):
    soon = {"role": "site", "name": "gemelli", "secret": "0" * 64}
    status = await fed.status()
    secret = b"s" * 32
    from governance.identity.enrolment import Token, secret_hash

    now = datetime.now(UTC)
    soon |= {"secret": secret_hash(secret), "expires": statements.timestamp(now)}
    acted = await fed.operator_acts("invite", **soon)
    await fed.invite("site", "keeps-the-door-open")
    where = json.loads(acted.result)
    token = Token("hearts", "site", "gemelli", status.root, **where, secret=secret)
    with refusal("token-expired"):
        await fed.enrol("site", "gemelli", token=mint(token))


async def test_door_is_open_only_while_an_invitation_is(fed):
    await fed.stop()
    await fed.start(lingers_s=0)
    address = fed.base.addresses["enrolment"].split(":")

    async def knock():
        _, writer = await asyncio.open_connection(address[0], int(address[1]))
        writer.close()

    token, _ = await fed.invite("site", "gemelli")  # the template left one open, for edpb
    await knock()
    await fed.enrol("site", "gemelli", token=token)
    await fed.until_closed(knock)


async def test_door_stays_open_for_a_newcomer_whose_answer_was_lost(fed, tmp_path):
    token, _ = await fed.invite("site", "gemelli")
    read, now = read_token(token), datetime.now(UTC)
    request = prepare(tmp_path / "gemelli", read, officers=[officer_of("gemelli")], now=now)
    await remote.enrol(read, request)  # and the answer never arrived
    await fed.restart()
    await fed.status()  # asked of the conductor, once it went on from its store
    finish(tmp_path / "gemelli", await remote.enrol(read, request), now=now)
    assert [e.actor for e in fed.entries("enrolled")].count("site/gemelli") == 1
