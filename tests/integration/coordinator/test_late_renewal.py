"""A hospital whose certificate has ended comes back: an operator invites, an officer signs."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from federations import officer_of
from operators import refusal
from scripted_site import good_figures

from governance.identity import folder
from governance.identity.certificate import make_csr
from governance.identity.enrolment import read_token
from governance.identity.key_files import replace_public
from governance.identity.keys import AuthorityKey, SigningKey, load_private_key
from governance.identity.late_renewal import make_proof
from governance.ledger import remote
from protos.errors import Refused
from protos.words import RenewalRequest

AMC = "amc"
AWAY = timedelta(days=120)
"""How long it is since its certificate was issued."""


def tls_key(identity):
    return load_private_key(identity.folder / "tls.key", passphrase=None)


async def age(fed, name=AMC, *, recorded=True):
    """Give a site a certificate for its own key that ended a month ago."""
    known, then = fed.folders.identity(name), datetime.now(UTC) - AWAY
    authority, chronicle = fed.base.authority, fed.base.chronicle
    issued = authority.issue(make_csr(tls_key(known)), name=name, role="site", now=then)
    if recorded:
        now = datetime.now(UTC)
        await fed.base.store.write(lambda c: chronicle.certify(c, issued.body, now=now))
    replace_public(known.folder / "tls.pem", issued.pem_chain)


async def invited(fed, name=AMC, *, role="site"):
    now = datetime.now(UTC)
    text, _ = await fed.ask(
        lambda console: console.invite(role, name, hours=1, now=now, renew=True)
    )
    return read_token(text)


def asked(fed, token, name=AMC):
    identity = fed.folders.identity(name)
    now, officer = datetime.now(UTC), officer_of(name)
    return folder.begin_late_renewal(identity, token, officer=officer, now=now)


def signed(fed, token, *signers, name=AMC):
    """Return a request that these keys signed, whatever the rules ask for."""
    identity = fed.folders.identity(name)
    csr = make_csr(tls_key(identity))
    told = {"actor": identity.actor, "log": identity.log, "signers": list(signers)}
    proof = make_proof(csr, token.secret, **told)
    certificate, now = identity.tls_chain_pem, datetime.now(UTC)
    return RenewalRequest(token.secret, csr, proof, certificate, now)


async def renewed(fed, token, request):
    given = await remote.renew(token, request)
    identity = fed.folders.identity(AMC)
    return folder.finish_renewal(identity, given.chain, now=datetime.now(UTC))


def issued(fed):
    return len(fed.entries("certificate-issued"))


@pytest_asyncio.fixture
async def away(fed):
    """A federation that a hospital was away from until its certificate had ended."""
    await age(fed)
    return fed


async def test_it_comes_back_with_the_keys_it_had_and_the_record_says_so(away):
    token, before = await invited(away), issued(away)
    identity = await renewed(away, token, asked(away, token))
    assert identity.peer.not_after > datetime.now(UTC)
    assert not [path for path in identity.folder.iterdir() if "renewing" in path.name]
    assert issued(away) == before + 1
    assert away.entries("certificate-issued")[-1].body["serial"] == identity.peer.serial
    await away.in_force(changes={"schedule.rounds": 1})
    for site in away.sites.values():
        site.works(figures=lambda _, __: good_figures(0.7))
    await away.until(lambda: away.entries("round-closed"))
    assert f"site/{AMC}" in [entry.actor for entry in away.entries("contribution-made")]
    away.verified()


async def test_the_same_request_is_given_the_same_certificate_and_never_a_second(away):
    token = await invited(away)
    request, before = asked(away, token), issued(away)
    first = await remote.renew(token, request)
    again = dataclasses.replace(request, clock=datetime.now(UTC))
    assert (await remote.renew(token, again)).chain == first.chain
    assert issued(away) == before + 1


async def test_another_request_with_the_same_token_is_refused(away):
    token = await invited(away)
    await remote.renew(token, asked(away, token))
    identity = away.folders.identity(AMC)
    keys = (AuthorityKey(tls_key(identity)), identity.signing_key(), officer_of(AMC))
    with refusal("token-used"):
        await remote.renew(token, signed(away, token, *keys))


async def test_a_request_for_one_token_is_none_for_the_next(away):
    old = asked(away, await invited(away))
    token = await invited(away)
    with pytest.raises(Exception, match="another certificate request"):
        await remote.renew(token, dataclasses.replace(old, secret=token.secret))


@pytest.mark.parametrize("without", ["officer", "agent", "tls"])
async def test_each_of_the_three_keys_must_have_signed(away, without):
    token, identity = await invited(away), away.folders.identity(AMC)
    stranger = SigningKey.from_seed(b"stranger".ljust(32))
    keys = {
        "tls": AuthorityKey(tls_key(identity)),
        "agent": identity.signing_key(),
        "officer": officer_of(AMC),
    }
    keys[without] = stranger
    rule = "officer-needed" if without == "officer" else "bad-signature"
    before = issued(away)
    with refusal(rule):
        await remote.renew(token, signed(away, token, *keys.values()))
    assert issued(away) == before


async def test_a_certificate_that_was_never_issued_opens_nothing(fed):
    await age(fed, recorded=False)
    token = await invited(fed)
    with refusal("never-issued"):
        await remote.renew(token, asked(fed, token))


async def test_one_that_holds_is_renewed_over_its_session_alone(fed):
    token, identity = await invited(fed), fed.folders.identity(AMC)
    with refusal("certificate-holds"):
        asked(fed, token)
    keys = (AuthorityKey(tls_key(identity)), identity.signing_key(), officer_of(AMC))
    with refusal("certificate-holds"):
        await remote.renew(token, signed(fed, token, *keys))


async def test_a_revoked_site_is_neither_invited_nor_renewed(away):
    token = await invited(away)
    request = asked(away, token)
    before = issued(away)
    await away.revoke(AMC)
    with refusal("not-enrolled"):
        await remote.renew(token, request)
    with refusal("not-enrolled"):
        await invited(away)
    assert issued(away) == before


async def test_a_site_that_is_leaving_is_neither_invited_nor_renewed(away):
    token = await invited(away)
    request, before = asked(away, token), issued(away)
    body = {"site": AMC, "scope": "federation", "cause": "removed"}
    await away.act("exit-requested", body, told={"reason": "broke the terms"})
    with pytest.raises(Refused, match=r"leav|revoked|no more"):
        await remote.renew(token, request)
    with pytest.raises(Refused, match=r"leav|no hospital"):
        await invited(away)
    assert issued(away) == before


async def test_an_invitation_to_renew_enrols_nobody(away, tmp_path):
    token = await invited(away)
    place, now = tmp_path / "thief", datetime.now(UTC)
    request = folder.prepare(place, token, officers=[officer_of("thief")], now=now)
    with refusal("already-enrolled"):
        await remote.enrol(token, request)


async def test_only_a_hospital_that_is_enrolled_is_invited_to_renew(fed):
    with refusal("not-enrolled"):
        await invited(fed, "nobody")
    with refusal("unknown-role"):
        await invited(fed, "van-dijk", role="operator")


async def test_the_token_of_another_hospital_is_refused(away):
    token = await invited(away, "ucl")
    with refusal("token-for-another"):
        asked(away, token)
    forged = dataclasses.replace(token, name=AMC)
    with refusal("token-for-another"):
        await remote.renew(forged, asked(away, forged))


async def test_a_clock_that_is_wrong_is_said(away):
    token = await invited(away)
    request = asked(away, token)
    late = dataclasses.replace(request, clock=datetime.now(UTC) + timedelta(minutes=10))
    with refusal("clock-skew"):
        await remote.renew(token, late)
