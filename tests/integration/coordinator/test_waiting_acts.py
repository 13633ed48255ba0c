"""Operators' acts that a console would not send: each is refused in one sentence."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from operators import both_in_force, refusal

from governance import statements
from governance.statements import Chain
from protos.words import Digest, Proposal
from protos.words_operator import OperatorAct


def sent(fed, kind, body, *, told=(), document=b""):
    """Send an act as it is, without what the console would have refused or tried again."""

    def send(console):
        status, identity = console.status(), fed.folders.identity("van-dijk")
        payload = statements.compose(
            kind,
            body,
            actor=identity.actor,
            key=identity.signing_key().key_id,
            chain=Chain(status.operator_counter, Digest(status.operator_previous)),
            log=identity.log,
            at=datetime.now(UTC),
        )
        envelope = statements.sign(payload, [identity.signing_key()])
        return console._send(OperatorAct(envelope, tuple(told), document))

    return fed.ask(send)


async def test_act_that_nobody_could_read_never_waits(fed):
    await both_in_force(fed)
    for act in ("two\nlines", "x" * 2000):
        with refusal("bad-body"):
            await sent(fed, "revoked", {"name": "amc", "serials": [], "act": act})
    assert not (await fed.status(by="rossi")).pending


async def test_few_acts_of_one_operator_wait_and_the_others_see_the_status(fed):
    await both_in_force(fed)
    long = [f"{number:03d} {'x' * 190}" for number in range(200)]
    for _ in range(8):
        assert (await fed.operator_acts("invite", why=long)).pending
    with refusal("too-many-waiting"):
        await fed.operator_acts("invite", why=long)
    assert len((await fed.status(by="rossi")).pending) == 8
    await fed.operator_acts("pause")
    assert not (await fed.status()).pending
    assert (await fed.revoke("amc")).pending


@pytest.mark.parametrize("act", ["propose", "revoke"])
async def test_act_with_a_kind_of_its_own_is_said_by_that_alone(fed, act):
    document = fed.document()
    body = {"agreement": document.digest, "material": document.material, "name": "amc"}
    with refusal("unknown-act"):
        await sent(fed, "operator-acted", {**body, "act": act}, document=document.raw)
    (amc,) = await fed.come("amc")
    assert not [m for m in amc.inbox if isinstance(m, Proposal)]


async def test_secret_of_one_invitation_is_not_taken_for_another(fed):
    body = {"act": "invite", "role": "site", "expires": "2099-01-01T00:00:00.000000Z"}
    body["secret"] = "0" * 64
    await sent(fed, "operator-acted", {**body, "name": "gemelli"})
    with refusal("secret-taken"):
        await sent(fed, "operator-acted", {**body, "name": "lacor"})
