"""What an officer is shown is what the officer signs, also where a second one signs after."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hospital import SITE, officer_of
from test_office import draft_of

from governance import statements
from protos.errors import PeerFault, Refused
from site_agent import drafts


@pytest.fixture
def exported(charite):
    return draft_of(charite, charite.proposed())


def test_another_text_than_the_one_consented_to_is_not_signed(
    exported, tmp_path, secret, program
):
    path = tmp_path / "consent.json"
    path.write_bytes(drafts.to_file(replace(exported, shown="Nothing leaves this hospital.")))
    key = tmp_path / "officer.pem"
    officer_of(SITE).save(key, passphrase=secret.read_bytes().strip())
    before = path.read_bytes()
    argv = ["sign", path, "--officer-key", key, "--passphrase-file", secret, "--yes"]
    code, _, err = program(*argv)
    assert (code, "[other-text]" in err) == (2, True), err
    assert path.read_bytes() == before


def test_a_second_officer_signs_the_statement_that_the_first_one_signed(charite, exported):
    signed = drafts.sign(exported, officer_of(SITE))
    fields = json.loads(exported.payload)
    fields["body"]["declared_patients"] = 50
    other = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(Refused) as refused:
        drafts.check_shown(replace(signed, payload=other))
    assert refused.value.rule == "other-text"
    assert drafts.check_shown(signed) == "consent-given"


def test_one_officer_who_signs_twice_is_one_signature(exported):
    once = drafts.sign(exported, officer_of(SITE))
    assert drafts.sign(once, officer_of(SITE)).envelope == once.envelope


def test_an_envelope_with_one_signature_twice_is_not_read(exported):
    envelope = json.loads(drafts.sign(exported, officer_of(SITE)).envelope)
    envelope["signatures"] *= 2
    twice = json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(PeerFault) as refused:
        statements.read(twice)
    assert refused.value.rule in {"bad-envelope", "bad-statement"}
