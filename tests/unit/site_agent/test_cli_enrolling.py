"""The first day by the command line: a file of settings, then a token and a name."""

from __future__ import annotations

import json

import pytest
import yaml
from hospital import SETTINGS, SITE, officer_of, with_second_federation
from ports import served

from governance.agreement.schema import UNSAFE_TERMS
from governance.identity.enrolment import Token, mint
from governance.settings import load_site
from site_agent.store import egress


def test_init_writes_a_file_that_is_valid_and_holds_no_unsafe_term(program, tmp_path):
    file = tmp_path / "site.yaml"
    code, _, err = program("init", "--name", "charite", "--site", file)
    assert (code, file.exists()) == (0, True)
    settings = load_site(file)
    assert (settings.name, settings.policy.unsafe) == ("charite", ())
    assert settings.resources.isolation == "required"
    assert "enrol" in err
    assert not any(term in file.read_text() for term in UNSAFE_TERMS)


def test_init_never_overwrites(program, tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text("mine")
    code, _, err = program("init", "--name", "charite", "--site", file)
    assert (code, file.read_text()) == (2, "mine")
    assert "never overwritten" in err


def test_init_says_what_a_name_must_be(program, tmp_path):
    code, _, err = program("init", "--name", "Charité", "--site", tmp_path / "site.yaml")
    assert code == 2
    assert "lower-case" in err
    assert not (tmp_path / "site.yaml").exists()


def token(**changes):
    fields = {
        "federation": "lungs",
        "role": "site",
        "name": SITE,
        "root": "a" * 64,
        "enrolment": "localhost:1",
        "coordinator": "localhost:2",
        "secret": bytes(32),
    }
    return mint(Token(**fields | changes))


ENROLMENTS = [
    ("concilium1.nonsense", "no invitation token"),
    (token(name="amc"), "for site amc"),
    (token(role="operator"), "for operator charite"),
    (token(), "has no entry that waits for the federation lungs"),
]


@pytest.mark.parametrize(("text", "sentence"), ENROLMENTS)
def test_a_token_that_does_not_fit_is_refused_in_a_sentence(
    program, today, secret, text, sentence
):
    code, _, err = program("enrol", text, "--passphrase-file", secret, "--site", today.file)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_what_to_add_to_site_yaml_is_said(program, today, secret):
    _, _, err = program("enrol", token(), "--passphrase-file", secret, "--site", today.file)
    assert "{coordinator: localhost:2, folder: enrolled/lungs, cohort: patients" in err


def test_a_wrong_passphrase_is_said_and_nothing_is_made(program, today, tmp_path):
    with_second_federation(today)
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    code, _, err = program("enrol", token(), "--passphrase-file", wrong, "--site", today.file)
    assert code == 2
    assert "passphrase is wrong" in err
    assert not (today.folder / "enrolled" / "lungs").exists()


def test_nobody_at_the_enrolment_port_is_unavailable(program, today, secret):
    with_second_federation(today)
    code, _, err = program("enrol", token(), "--passphrase-file", secret, "--site", today.file)
    assert code == 3
    assert "nobody answers" in err


def test_what_a_stranger_at_the_port_was_never_sent_is_not_listed(
    program, today, template_of_today, secret
):
    with_second_federation(today)
    with served(template_of_today / "coordinator" / "keys") as port:
        asked = token(enrolment=f"localhost:{port}")
        code, _, err = program(
            "enrol", asked, "--passphrase-file", secret, "--site", today.file
        )
    assert code == 2
    assert "root" in err
    assert today.store.look(lambda c: egress.listed(c, "lungs")) == []


def test_enrolment_by_file_writes_a_request(program, today, secret, tmp_path):
    with_second_federation(today)
    out = tmp_path / "request.json"
    argv = ["enrol", token(), "--request", out, "--passphrase-file", secret]
    code, _, _ = program(*argv, "--site", today.file)
    assert (code, out.exists()) == (0, True)
    code, _, err = program("enrol", "--response", out, "--site", today.file)
    assert code == 2
    assert "enrolment file" in err


def test_the_keys_are_printed_as_an_auditor_trusts_them(program, today):
    code, out, _ = program("key", "--site", today.file)
    assert code == 0
    assert out == (
        f"{SITE} officer {officer_of(SITE).key_id}\n{SITE} agent {today.m.voice.key.key_id}\n"
    )


def test_an_agent_without_a_federation_says_how_to_get_one(program, today):
    settings = json.loads(json.dumps(SETTINGS)) | {"federations": []}
    today.file.write_text(yaml.safe_dump(settings))
    code, _, err = program("run", "--site", today.file)
    assert code == 2
    assert f"concilium-site enrol --site {today.file} TOKEN" in err
