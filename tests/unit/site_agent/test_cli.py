"""The administrator's and the officer's program, verb by verb: what it says, how it exits."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml
from hospital import FEDERATION, SECRET, SETTINGS, SITE, officer_of, patients

from governance.agreement.schema import UNSAFE_TERMS
from governance.consent import Consent
from governance.identity.enrolment import Token, mint
from governance.settings import load_site
from protos.words import AgreementState
from site_agent.cli import app
from site_agent.standing import standing_of

PROGRAM = Path(sys.executable).with_name("concilium-site")


@pytest.fixture
def program(monkeypatch, capsys):
    """Return a caller of the program: exit code, what it said on each output."""
    from governance import terminal

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["concilium-site", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            terminal.run(app)
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "passphrase"
    path.write_bytes(SECRET + b"\n")
    return path


def state_of(hospital, document):
    hospital.restart()
    return hospital.store.look(lambda c: standing_of(c, FEDERATION, document.digest)).state


# --- the first day ---------------------------------------------------------------------------


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


def with_second_federation(today):
    settings = json.loads(json.dumps(SETTINGS))
    settings["federations"].append(
        {"coordinator": "localhost:2", "folder": "enrolled/lungs", "cohort": "patients"}
    )
    today.file.write_text(yaml.safe_dump(settings))


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


# --- the data --------------------------------------------------------------------------------


def test_a_cohort_that_meets_the_contract_exits_0(program, today):
    today.document()
    code, out, _ = program("check", today.folder / "agreement.yaml", "--site", today.file)
    assert code == 0
    assert "meets the agreement's contract" in out


def test_a_cohort_that_breaks_the_contract_exits_1_and_shows_no_value(program, today):
    today.document()
    (today.folder / "patients.csv").write_text(patients().replace("p7,", "p7,9999"))
    code, out, _ = program("check", today.folder / "agreement.yaml", "--site", today.file)
    assert code == 1
    assert "9999" not in out


@pytest.mark.parametrize(
    "data", [b"", b"MRN,ONE\n1,2\n", "MRN,ONE,TWO,DIED\nä,1,2,J\n".encode("latin-1")]
)
def test_data_that_cannot_be_read_exits_2(program, today, data):
    today.document()
    (today.folder / "patients.csv").write_bytes(data)
    code, _, err = program("check", today.folder / "agreement.yaml", "--site", today.file)
    assert code == 2
    assert err.startswith("error: ")


def test_the_proposed_agreement_is_checked_by_default(program, today):
    today.proposed()
    assert program("check", "--site", today.file, "--format", "json")[0] == 0


# --- the officer -----------------------------------------------------------------------------

WHO = ("--officer-name", "A. Weber", "--role", "CMO", "--yes")


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
    assert "Changes by notice are not built yet" in err
    assert state_of(today, document) is Consent.OBJECTED
    assert program("resume", "--passphrase-file", secret, *here)[0] == 0
    assert state_of(today, document) is Consent.IN_FORCE


def test_status_and_budget_answer_without_an_agent(program, today):
    document = today.consented()
    code, out, _ = program("status", "--site", today.file, "--format", "json")
    said = json.loads(out)
    assert (code, said["running"]) == (0, False)
    assert said["rows"][0]["agreement"] == document.digest[:12]
    assert said["rows"][0]["consent"] == "in-force"
    code, out, _ = program("budget", "--site", today.file, "--format", "csv")
    assert code == 0
    assert out.splitlines()[0].startswith("cohort,reservations,epsilon,spent,reserved,cap")
    line = "patients,0,0.0000,0.0000,0.0000,6,6.0000,0.00001,"
    assert out.splitlines()[1].startswith(line)


def spend(hospital, document, rounds):
    from governance.privacy.accountant import epsilon, format_epsilon
    from governance.privacy.releases import Release
    from site_agent.store import work
    from site_agent.store.work import Spent

    release = Release(0.1, 2.0, 4)
    for number in range(1, rounds + 1):
        total = format_epsilon(epsilon([release.times(number)], 1e-5))
        spent = Spent(
            FEDERATION,
            f"{FEDERATION}/{number}/1/train",
            "patients",
            document.digest,
            number,
            1,
            release,
            1e-5,
            total,
        )
        hospital.store.now(lambda c, s=spent: work.reserve(c, s, at=hospital.clock()))


def test_the_budget_is_drawn_with_what_is_to_come(program, today):
    spend(today, today.consented(), 20)
    code, out, _ = program("budget", "--site", today.file)
    lines = out.splitlines()
    (foot,) = [line for line in lines if "# 20 so far" in line]
    assert (code, "more at the agreement's rate" in foot) == (0, True)
    drawn = [line.partition("|")[2] for line in lines if "|" in line]
    assert len(drawn) == 8
    heights = [sum(bool(row[place : place + 1].strip()) for row in drawn) for place in (0, 30)]
    assert heights == sorted(heights)
    assert any("#" in row for row in drawn)
    assert max(map(len, lines)) < 100


def test_what_is_at_work_is_reserved_and_not_spent_yet(program, today):
    document = today.consented()
    spend(today, document, 3)
    today.take(today.task(document, round_=3))
    _, out, _ = program("budget", "--site", today.file, "--format", "json")
    (row,) = json.loads(out)["rows"]
    assert float(row["spent"]) < float(row["epsilon"])
    assert float(row["reserved"]) > 0
    assert float(row["left"]) == pytest.approx(6 - float(row["epsilon"]), abs=2e-4)


def test_models_says_what_may_train_and_what_is_held(program, today):
    today.consented()
    name = "ab" * 32
    (today.premises.models / f"{name}.safetensors").write_bytes(bytes(268))
    code, out, _ = program("models", "--site", today.file, "--format", "json")
    rows = {row["model"]: row for row in json.loads(out)["rows"]}
    assert (code, rows["builtin:linear"]["standing"]) == (0, "may train")
    assert rows["builtin:mlp"]["standing"] == "not approved"
    assert (rows[name[:12]]["kind"], rows[name[:12]]["bytes"]) == ("held", 268)


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


def test_a_federation_must_be_named_where_there_are_several(program, today):
    with_second_federation(today)
    code, _, err = program("status", "--site", today.file)
    assert code == 2
    assert "--federation with one of: hearts, lungs" in err
    assert program("status", "--federation", "hearts", "--site", today.file)[0] == 0


def test_a_file_that_is_wrong_says_where(program, today):
    today.file.write_text(
        today.file.read_text().replace("minimum_sites: 3", "minimum_sites: 0")
    )
    code, _, err = program("status", "--site", today.file)
    assert code == 2
    assert "site.yaml:" in err


def test_outside_a_rehearsal_nothing_is_compared(program, today, tmp_path):
    document = tmp_path / "agreement.json"
    document.write_bytes(today.document().raw)
    argv = ["rehearsal-figures", "--document", document, "--model", document]
    code, _, err = program(*argv, "--out", tmp_path / "out.json", today.file)
    assert code == 2
    assert "rehearsal" in err


# --- the agent as a process ------------------------------------------------------------------


class Process:
    """`concilium-site run`, and what it logs."""

    def __init__(self, process):
        self.process = process
        self.events = []

    @classmethod
    async def start(cls, file):
        return cls(
            await asyncio.create_subprocess_exec(
                PROGRAM, "run", "--site", str(file), stderr=asyncio.subprocess.PIPE
            )
        )

    async def logs(self, event):
        async with asyncio.timeout(60):
            while True:
                line = await self.process.stderr.readline()
                self.events.append(line.decode())
                if f'"event": "{event}"' in self.events[-1]:
                    return json.loads(line)
                assert line, self.events

    async def ends(self, how):
        began = time.monotonic()
        self.process.send_signal(how)
        code = await asyncio.wait_for(self.process.wait(), 30)
        return code, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_the_agent_stops_within_two_seconds_and_starts_again(today, how):
    for _ in range(2):
        agent = await Process.start(today.file)
        await agent.logs("session-lost")
        code, seconds = await agent.ends(how)
        assert (code, seconds < 2.0) == (0, True), (seconds, agent.events)
    assert not (today.premises.state / "agent.sock").exists()


@pytest.mark.slow
async def test_a_second_agent_is_refused_and_verbs_reach_the_first(today, program):
    agent = await Process.start(today.file)
    await agent.logs("session-lost")
    second = await asyncio.create_subprocess_exec(
        PROGRAM, "run", "--site", str(today.file), stderr=asyncio.subprocess.PIPE
    )
    _, err = await second.communicate()
    assert second.returncode == 2
    assert f"process {agent.process.pid}" in err.decode()
    document = today.consented()
    today.take(AgreementState(document.digest, "in-force"))
    code, out, _ = await asyncio.to_thread(program_apart, today.file)
    assert (code, json.loads(out)["running"]) == (0, True)
    await agent.ends(signal.SIGTERM)


def program_apart(file):
    import subprocess

    argv = [PROGRAM, "status", "--site", str(file), "--format", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_an_agent_without_a_federation_says_how_to_get_one(program, today):
    settings = json.loads(json.dumps(SETTINGS)) | {"federations": []}
    today.file.write_text(yaml.safe_dump(settings))
    code, _, err = program("run", "--site", today.file)
    assert code == 2
    assert "enrol TOKEN" in err
