"""Certificates of operators: renewed as they are used, or in the coordinator's folder."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from coordinator import renewing
from governance.identity import folder
from governance.identity.certificate import make_csr
from governance.identity.key_files import replace_public
from governance.identity.keys import SigningKey, load_private_key
from governance.ledger import own_certificate
from governance.ledger.remote import LogLine
from protos.errors import Refused

OPERATOR = "van-dijk"
DUE, ENDED = timedelta(days=70), timedelta(days=100)


def tls_key(identity):
    return load_private_key(identity.folder / "tls.key", passphrase=None)


async def age(fed, name, *, by):
    """Give a member a certificate for its own key that was issued so long ago."""
    known, then = fed.folders.identity(name), datetime.now(UTC) - by
    issued = fed.base.authority.issue(
        make_csr(tls_key(known)), name=name, role=known.role, now=then
    )
    replace_public(known.folder / "tls.pem", issued.pem_chain)
    return fed.folders.identity(name)


async def asked(identity, key):
    """Ask for a next certificate by hand, signed with a key; return the rule that said no."""
    request = folder.begin_renewal(identity, [key])
    with LogLine(identity, identity.coordinator) as line, pytest.raises(Refused) as refused:
        await asyncio.to_thread(line.renew, request)
    return refused.value.rule


async def current(identity):
    """Return what a command of its own goes on with; it is not of this event loop."""
    server, now = identity.coordinator, datetime.now(UTC)
    return await asyncio.to_thread(own_certificate.current, identity, server, now=now)


def issued_to(fed, name):
    return [entry for entry in fed.entries("certificate-issued") if entry.body["name"] == name]


@pytest_asyncio.fixture
async def aged(fed):
    """An operator whose certificate was issued seventy of its ninety days ago."""
    return await age(fed, OPERATOR, by=DUE)


async def test_an_operator_whose_certificate_is_due_has_the_next_with_its_next_command(
    fed, aged
):
    before = len(issued_to(fed, OPERATOR))
    identity = await current(aged)
    assert identity.peer.not_after > datetime.now(UTC) + timedelta(days=80)
    assert len(issued_to(fed, OPERATOR)) == before + 1
    assert (await fed.status()).federation == fed.folders.federation  # by the new one
    fed.verified()


async def test_a_certificate_that_is_not_due_stays_as_it_is(fed):
    identity = fed.folders.identity(OPERATOR)
    assert await current(identity) is identity
    assert await asked(identity, identity.signing_key()) == "renewal-early"


async def test_who_stole_the_tls_key_alone_is_given_no_next_certificate(fed, aged):
    stranger = SigningKey.from_seed(b"stranger".ljust(32))
    assert await asked(aged, stranger) == "bad-signature"


async def test_a_site_is_renewed_over_its_session_alone(fed):
    identity = await age(fed, "amc", by=DUE)
    assert await asked(identity, identity.signing_key()) == "role"


async def test_where_the_coordinator_is_away_the_old_certificate_goes_on(fed, aged, capsys):
    await fed.stop()
    assert await current(aged) is aged
    assert "the next one could not be had" in capsys.readouterr().err


async def test_after_its_end_the_command_says_how_it_is_renewed(fed):
    identity = await age(fed, OPERATOR, by=ENDED)
    with pytest.raises(Refused, match="ended on") as refused:
        await current(identity)
    assert refused.value.rule == "certificate-expired"


async def test_who_has_the_coordinators_folder_renews_an_operator_after_its_end(fed):
    identity = await age(fed, OPERATOR, by=ENDED)
    await fed.stop()
    at, place = datetime.now(UTC), fed.folders.coordinator
    renewed = renewing.renew_here(place, identity.folder, now=at)
    assert renewed.peer.not_after > at + timedelta(days=80)
    await fed.start()
    assert (await fed.status()).federation == fed.folders.federation
    assert issued_to(fed, OPERATOR)[-1].body["serial"] == renewed.peer.serial
    fed.verified()


async def test_a_certificate_that_holds_is_not_renewed_in_the_folder_either(fed):
    await fed.stop()
    own = fed.folders.coordinator / "operators" / OPERATOR
    with pytest.raises(Refused) as refused:
        renewing.renew_here(fed.folders.coordinator, own, now=datetime.now(UTC))
    assert refused.value.rule == "certificate-holds"


async def test_an_operator_who_is_revoked_is_renewed_by_no_folder(fed):
    await fed.enrol(
        "operator", "second", place=fed.folders.coordinator / "operators" / "second"
    )
    identity = await age(fed, "second", by=ENDED)
    await fed.revoke("second")
    await fed.stop()
    with pytest.raises(Refused) as refused:
        renewing.renew_here(fed.folders.coordinator, identity.folder, now=datetime.now(UTC))
    assert refused.value.rule == "not-enrolled"
