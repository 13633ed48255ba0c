"""Newcomers to a federation under test: their tokens, their requests, and the answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from authorities import NOW

from governance.identity import folder
from governance.identity.enrolment import Token, check_enrolment, invitation_of
from governance.identity.keys import SigningKey
from protos.errors import PeerFault, Refused
from protos.words import Enrolled

LATER = NOW + timedelta(hours=1)
OFFICER = SigningKey.from_seed(bytes(range(32)))


def token_of(fed, *, role="site", name="charite", secret=bytes(32)):
    return Token(
        federation="heart",
        role=role,
        name=name,
        root=fed.root_fingerprint,
        enrolment="localhost:8444",
        coordinator="localhost:8443",
        secret=secret,
    )


def admit(fed, request, *, token, now=NOW, **change):
    invitation = replace(invitation_of(token, expires=NOW + timedelta(days=1)), **change)
    return check_enrolment(request, invitation=invitation, log=fed.log, now=now)


def answer(fed, request, *, name="charite", role="site"):
    certificate = fed.issue(request.csr, name=name, role=role, now=NOW)
    key = f"concilium/heart+{'0' * 8}+AAAA"
    return Enrolled(certificate.pem_chain, fed.root_pem, key)


def enrolled(fed, path):
    token = token_of(fed)
    request = folder.prepare(path, token, officers=[OFFICER], now=NOW)
    admit(fed, request, token=token)
    return folder.finish(path, answer(fed, request), now=NOW)


def rule_of(call, *args, **kwargs):
    with pytest.raises((Refused, PeerFault)) as refusal:
        call(*args, **kwargs)
    return refusal.value.rule


def begun(fed, path):
    return folder.prepare(path, token_of(fed), officers=[OFFICER], now=NOW)
