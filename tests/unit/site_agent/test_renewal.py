"""The next certificate: asked for in time, once, and put in its place with a new channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hospital import FEDERATION, SITE

from governance.identity.folder import Identity
from governance.identity.renewal import check_request
from governance.settings import SiteSettings
from protos.words import CertificateIssued, CertificateRequest
from site_agent import renewal
from site_agent.member import Member
from site_agent.store import notes


def ask(charite):
    charite.store.now(lambda c: renewal.ask(c, charite.m, charite.identity))


def test_it_is_due_when_two_thirds_of_its_time_are_over(charite):
    begin, end = charite.identity.peer.not_before, charite.identity.peer.not_after
    due = begin + (end - begin) * 2 / 3
    assert not renewal.is_to_be_asked(charite.identity, asked="", now=due - timedelta(hours=1))
    assert renewal.is_to_be_asked(charite.identity, asked="", now=due + timedelta(hours=1))


def test_it_is_looked_at_when_it_is_due_and_every_hour(charite):
    begin, end = charite.identity.peer.not_before, charite.identity.peer.not_after
    due = begin + (end - begin) * 2 / 3
    assert renewal.wait_s(charite.identity, now=begin) == 3600
    assert renewal.wait_s(charite.identity, now=due - timedelta(seconds=30)) == pytest.approx(
        30
    )
    assert renewal.wait_s(charite.identity, now=due + timedelta(days=1)) == 3600


def test_an_unanswered_request_is_repeated_after_a_day(charite):
    charite.clock.pass_(days=61)
    ask(charite)
    asked = charite.store.look(lambda c: notes.note(c, FEDERATION, notes.RENEWAL))
    soon, later = (
        charite.clock.time + timedelta(hours=1),
        charite.clock.time + timedelta(days=2),
    )
    assert not renewal.is_to_be_asked(charite.identity, asked=asked, now=soon)
    assert renewal.is_to_be_asked(charite.identity, asked=asked, now=later)


def test_the_request_proves_both_keys(charite):
    charite.clock.pass_(days=61)
    ask(charite)
    (request,) = charite.sent(CertificateRequest)
    check_request(
        request,
        peer=charite.identity.peer,
        log=charite.m.voice.log,
        keys=(charite.m.voice.key.key_id, ()),
        now=charite.clock.time,
    )


async def test_the_new_certificate_takes_the_place_of_the_old(today):
    before = today.identity.peer.serial
    ask(today)
    (request,) = today.sent(CertificateRequest)
    now = datetime.now(UTC)
    issued = today.authority.issue(request.csr, name=SITE, role="site", now=now)
    today.take(CertificateIssued(issued.pem_chain))
    today.clock.time = now
    member = Member(today.m, today.identity, today.settings.federations[0])
    came, _ = today.store.look(member._renewal)
    await member._change_over(came)
    assert Identity.load(today.identity.folder).peer.serial != before
    assert today.store.look(member._renewal) == ("", "")
    await member._link.close()
    member._copy.close()
    assert isinstance(today.settings, SiteSettings)


async def test_a_certificate_for_another_key_is_refused_and_the_old_one_stays(today):
    from governance.identity.certificate import make_csr, make_tls_key

    before = today.identity.peer.serial
    now = datetime.now(UTC)
    ask(today)
    issued = today.authority.issue(make_csr(make_tls_key()), name=SITE, role="site", now=now)
    today.clock.time = now
    member = Member(today.m, today.identity, today.settings.federations[0])
    await member._change_over(issued.pem_chain.decode())
    assert Identity.load(today.identity.folder).peer.serial == before
    await member._link.close()
    member._copy.close()
