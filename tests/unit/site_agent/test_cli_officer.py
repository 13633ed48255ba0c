"""The officer's verbs: to review and consent, to decline, pause and withdraw, and new keys."""

from __future__ import annotations

import pytest
import yaml
from hospital import FEDERATION, SITE, officer_of

from governance.agreement import counter
from governance.consent import Consent
from protos.words import AgreementState
from site_agent.standing import standing_of

WHO = ("--officer-name", "A. Weber", "--role", "CMO", "--yes")


def state_of(hospital, document):
    hospital.restart()
    return hospital.store.look(lambda c: standing_of(c, FEDERATION, document.digest)).state


def test_a_review_is_plain_and_a_consent_follows_it(program, today, secret, tmp_path):
    document = today.proposed()
    code, text, _ = program("review", "--site", today.file)
    assert code == 0
    for words in ("two from TWO × 0.1", "spent ε 0.0000 so far", "concilium-site withdraw"):
        assert words in " ".join(text.split())
    code, _, err = program("consent", *WHO, "--passphrase-file", secret, "--site", today.file)
    assert code == 0, err
    assert "not running" in err
    assert state_of(today, document) is Consent.IN_FORCE
    (said,) = today.said("consent-given")
    assert said.statement.body["declared_patients"] == 60


def test_nothing_to_consent_to_is_said(program, today, secret):
    code, _, err = program("consent", *WHO, "--passphrase-file", secret, "--site", today.file)
    assert code == 2
    assert "no agreement was proposed" in err


def test_a_wrong_passphrase_signs_nothing(program, today, tmp_path):
    document = today.proposed()
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    code, _, err = program("consent", *WHO, "--passphrase-file", wrong, "--site", today.file)
    assert code == 2
    assert "passphrase is wrong" in err
    assert state_of(today, document) is Consent.PROPOSED


def test_without_a_terminal_nothing_is_asked(program, today, secret):
    today.proposed()
    code, _, err = program(
        "consent", *WHO[:4], "--passphrase-file", secret, "--site", today.file
    )
    assert code == 2
    assert "--yes" in err


def test_a_consent_can_be_carried_to_another_machine(program, today, secret, tmp_path):
    document = today.proposed()
    file, key = tmp_path / "consent.json", tmp_path / "officer.pem"
    assert program("consent", *WHO, "--export", file, "--site", today.file)[0] == 0
    (today.folder / "keys" / "officer.pem").rename(key)
    code, _, err = program("consent", *WHO, "--passphrase-file", secret, "--site", today.file)
    assert code == 2
    assert "--export" in err
    argv = ["sign", file, "--officer-key", key, "--passphrase-file", secret, "--yes"]
    code, _, shown = program(*argv)
    assert code == 0
    assert document.digest in shown
    assert program("consent", "--import", file, "--site", today.file)[0] == 0
    assert state_of(today, document) is Consent.IN_FORCE


def test_an_unsigned_statement_that_comes_back_is_said_to_be_unsigned(program, today, tmp_path):
    today.proposed()
    file = tmp_path / "consent.json"
    here = ("--site", today.file)
    who = ("--officer-name", "A. Weber", "--role", "CMO")
    assert program("consent", *who, "--export", file, *here)[0] == 0
    code, _, err = program("consent", "--import", file, *here)
    assert code == 2
    assert "nobody has signed this statement yet" in err
    assert "concilium-site sign consent.json" in err


@pytest.mark.parametrize("verb", [("pause",), ("withdraw", "--yes")])
def test_what_is_cancelled_is_said_in_a_sentence_and_no_log(program, today, verb):
    document = today.consented()
    task = today.task(document)
    today.take(task)
    code, out, err = program(*verb, "--site", today.file)
    assert (code, out) == (0, "")
    assert f"Cancelled: {task.task}" in err
    assert "task-ended" not in err


@pytest.mark.parametrize("verb", ["decline", "object"])
def test_a_blank_reason_is_refused(program, today, verb):
    today.consented()
    code, _, err = program(verb, "--reason", " ", "--site", today.file)
    assert code == 2
    assert err.startswith("error: the reason is blank [blank-reason]\n")


def test_decline_pause_resume_withdraw(program, today, secret):
    here = ("--site", today.file)
    first = today.proposed()
    argv = ["decline", "--reason", "too little noise", "--passphrase-file", secret]
    assert program(*argv, *here)[0] == 0
    assert state_of(today, first) is Consent.DECLINED
    second = today.proposed(title="A better study")
    assert program("consent", *WHO, "--passphrase-file", secret, *here)[0] == 0
    assert program("pause", *here)[0] == 0
    assert state_of(today, second) is Consent.PAUSED
    code, _, err = program("pause", *here)
    assert code == 2
    assert "in-force" in err
    assert program("resume", "--passphrase-file", secret, *here)[0] == 0
    code, _, err = program("withdraw", "--dry-run", *here)
    assert code == 0
    assert "stays enrolled" in err
    assert state_of(today, second) is Consent.IN_FORCE
    assert program("withdraw", "--yes", *here)[0] == 0
    assert state_of(today, second) is Consent.WITHDRAWN


def test_an_objection_says_what_it_means_and_what_it_does_not(program, today, secret):
    here = ("--site", today.file)
    code, _, err = program("object", "--reason", "our nights", *here)
    assert code == 2
    assert "no consent of this site is in-force" in err
    document = today.consented()
    code, _, err = program("object", "--reason", "our nights", *here)
    assert code == 0
    assert "takes no task" in err
    assert state_of(today, document) is Consent.OBJECTED
    assert program("resume", "--passphrase-file", secret, *here)[0] == 0
    assert state_of(today, document) is Consent.IN_FORCE


@pytest.mark.parametrize("verb", [("pause",), ("object", "--reason", "our nights")])
def test_a_complete_agreement_is_neither_paused_nor_objected_to(program, today, verb):
    document = today.consented()
    today.take(AgreementState(document.digest, "complete"))
    code, out, err = program(*verb, "--site", today.file)
    assert (code, out) == (2, "")
    assert "the agreement is complete: nothing of it is paused or resumed" in err
    assert err.splitlines()[0].endswith("[agreement-state]")
    assert not today.said("consent-suspended")
    assert not today.said("consent-objected")


def test_a_pause_that_outlived_its_agreement_is_not_resumed(program, today, secret, tmp_path):
    document, here = today.consented(), ("--site", today.file)
    assert program("pause", *here)[0] == 0
    file = tmp_path / "resumption.json"
    assert program("resume", "--export", file, *here)[0] == 0
    today.take(AgreementState(document.digest, "complete"))
    code, _, err = program("resume", "--passphrase-file", secret, *here)
    assert code == 2
    assert "the agreement is complete: nothing of it is paused or resumed" in err
    key = today.folder / "keys" / "officer.pem"
    argv = ["sign", file, "--officer-key", key, "--passphrase-file", secret, "--yes"]
    assert program(*argv)[0] == 0
    code, _, err = program("consent", "--import", file, *here)
    assert (code, "[agreement-state]" in err) == (2, True)
    assert not today.said("consent-resumed")


def test_a_complete_agreement_can_still_be_withdrawn_from(program, today):
    document = today.consented()
    today.take(AgreementState(document.digest, "complete"))
    assert program("withdraw", "--yes", "--site", today.file)[0] == 0
    assert state_of(today, document) is Consent.WITHDRAWN


def test_a_new_agent_key_is_vouched_for(program, today, secret):
    before = today.m.voice.key.key_id
    argv = ["rotate-key", "agent", "--passphrase-file", secret, "--site", today.file]
    assert program(*argv)[0] == 0
    today.restart()
    after = today.m.voice.key.key_id
    assert before != after
    (said,) = today.said("key-rotated")
    assert set(said.statement.signatures) == {before, after, officer_of(SITE).key_id}
    assert after in program("key", "--site", today.file)[1]


def test_a_new_officer_key_signs_from_then_on(program, today, secret, tmp_path):
    new = tmp_path / "new"
    new.write_text("another secret")
    argv = ["rotate-key", "officer", "--passphrase-file", secret]
    assert program(*argv, "--new-passphrase-file", new, "--site", today.file)[0] == 0
    assert officer_of(SITE).key_id not in program("key", "--site", today.file)[1]
    document = today.proposed()
    argv = ["consent", *WHO, "--passphrase-file", new, "--site", today.file]
    code, _, err = program(*argv)
    assert code == 0, err
    assert state_of(today, document) is Consent.IN_FORCE


def test_a_counter_proposal_travels_behind_a_commitment(program, today, secret):
    from hospital import changed

    document = today.proposed()
    file = today.folder / "agreement.yaml"
    ours = today.folder / "ours.yaml"
    terms = yaml.safe_load(file.read_text())
    ours.write_text(yaml.safe_dump(changed(terms, {"privacy.noise_multiplier": 3.0})))
    argv = ["decline", "--reason", "too little noise", "--counter", ours]
    code, _, err = program(*argv, "--passphrase-file", secret, "--site", today.file)
    assert code == 0, err
    assert "privacy.noise_multiplier: 2 -> 3" in err
    assert state_of(today, document) is Consent.DECLINED
    (said,) = today.said("consent-declined")
    told = {one.label: one.value for one in said.disclosures}
    (change,) = counter.of_text(told["counter"])
    assert (change.path, change.old, change.new) == ("privacy.noise_multiplier", "2", "3")
    assert b"noise_multiplier" not in said.statement.envelope


def test_a_counter_proposal_that_says_the_same_is_refused(program, today, secret):
    today.proposed()
    same = today.folder / "agreement.yaml"
    argv = ["decline", "--reason", "no", "--counter", same, "--passphrase-file", secret]
    code, _, err = program(*argv, "--site", today.file)
    assert (code, "[bad-counter]" in err) == (2, True)
