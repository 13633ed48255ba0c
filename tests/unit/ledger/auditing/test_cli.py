"""The auditor's program as its user meets it: answers, exit codes, a sentence for bad input."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys

import pytest

from governance.identity import enrolment
from governance.identity.trust import trust_lines
from governance.ledger import cli, note, store

QUESTIONS = (
    ["consents"],
    ["consents", "--site", "kul", "--round", "2"],
    ["consents", "--at", "2026-11-21T09:00:57Z"],
    ["rounds"],
    ["round", "2"],
    ["spending"],
    ["certificates"],
    ["certificates", "--at", "2026-11-21T10:00:00Z"],
    ["agreements", "--at", "2026-11-21T10:00:00Z"],
    ["consents", "--history"],
    ["rounds", "--state", "abandoned"],
    ["round", "2", "--settings"],
    ["contributions", "--refused"],
    ["acts"],
    ["checkpoint"],
    ["witness"],
    ["search", "amc"],
    ["show", "20"],
)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the program as a shell would; return exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["concilium-ledger", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        said = capsys.readouterr()
        return exit_.value.code or 0, said.out, said.err

    return run


@pytest.fixture
def exported(ledger, run, tmp_path):
    assert run("export", tmp_path / "out", "--url", ledger.path)[0] == 0
    return tmp_path / "out"


def trust_file(keys, path, sites=("amc", "kul", "ucl", "usz")):
    text = "# by telephone\n\n"
    for site in sites:
        held = {usage: [keys.key(f"{site} {usage}").key_id] for usage in ("officer", "agent")}
        text += trust_lines(site, held)
    path.write_text(text)
    return path


# --- questions -----------------------------------------------------------------------------


def test_a_question_about_a_hospital_that_never_was_in_the_record_is_refused(run, ledger):
    for question in ("spending", "consents", "contributions", "members"):
        code, out, err = run(question, "--url", ledger.path, "--site", "amx")
        assert (code, out) == (2, "")
        assert "no hospital of the name amx was ever in this record; in it: amc, kul" in err
        assert "[no-such-site]" in err


# --- verify --------------------------------------------------------------------------------


def test_a_clean_log_is_exit_0_and_says_what_is_not_established(run, ledger):
    code, out, err = run("verify", "--url", ledger.path)
    assert code == 0
    assert "consistent; the signers' identity is not established" in out
    assert err == ""


def test_a_clean_log_with_the_hospitals_keys_is_proven(run, ledger, keys, tmp_path):
    trust = trust_file(keys, tmp_path / "trust.keys")
    code, out, _ = run("verify", "--url", f"sqlite:///{ledger.path}", "--trust", trust)
    assert code == 0
    assert "proven, but for what docs/auditor.md lists" in out


def test_a_log_whose_heads_were_all_taken_away_is_not_taken_for_proven(
    run, ledger, keys, tmp_path
):
    trust = trust_file(keys, tmp_path / "trust.keys")
    ledger.run(("DELETE FROM cosignatures",), ("DELETE FROM checkpoints",))
    code, out, _ = run("verify", "--url", ledger.path, "--trust", trust)
    assert code == 1
    assert "Not proven, because no checkpoint is cosigned" in out
    assert run("verify", "--url", ledger.path)[0] == 0


def test_a_fault_is_exit_1_and_names_the_entry(run, ledger):
    ledger.run(
        ("UPDATE entries SET received_at = '2026-11-21T09:00:59.000000Z' WHERE seq = 9",)
    )
    code, out, _ = run("verify", "--url", ledger.path)
    assert code == 1
    assert "entry 9" in out
    assert "altered" in out


def test_a_verdict_is_read_by_machines(run, exported):
    code, out, _ = run("verify", "--export", exported, "--format", "json")
    said = json.loads(out)
    assert code == 0
    assert said["verified"] is True
    assert said["proven"] is False
    assert said["fault"] is None
    assert said["checkpoint_size"] == said["witnessed"] == said["entries"] - 2
    assert said["cosignatures"] == 3
    _, out, _ = run("verify", "--export", exported, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["verified"] == "True"


def test_a_fault_is_read_by_machines(run, exported):
    lines = (exported / "entries.jsonl").read_text().splitlines(keepends=True)
    (exported / "entries.jsonl").write_text("".join(lines[:30] + lines[31:]))
    code, out, _ = run("verify", "--export", exported, "--format", "json")
    said = json.loads(out)
    assert code == 1
    assert said["verified"] is False
    assert said["fault"]["seq"] == 30
    assert said["fault"]["rule"] == "entry-missing"
    _, out, _ = run("verify", "--export", exported, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["fault_seq"] == "30"


def test_a_checkpoint_that_was_kept_finds_what_was_cut(run, ledger, exported, tmp_path):
    kept = shutil.copy(exported / "checkpoint", tmp_path / "kept")
    assert run("verify", "--export", exported, "--against", kept)[0] == 0
    for size in (81, 68):
        (exported / f"checkpoints/{size:012d}").unlink()
    shutil.copy(max((exported / "checkpoints").iterdir()), exported / "checkpoint")
    for name in ("entries.jsonl", "disclosures.jsonl"):
        lines = (exported / name).read_text().splitlines(keepends=True)
        kept_lines = [line for line in lines if json.loads(line)["seq"] < 60]
        (exported / name).write_text("".join(kept_lines))
    (exported / "keys.json").unlink()
    assert run("verify", "--export", exported)[0] == 0
    code, out, _ = run("verify", "--export", exported, "--against", kept)
    assert code == 1
    assert "entry 60 is missing" in out


# --- questions -----------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_a_question_is_answered_alike_from_database_and_export(run, ledger, exported, question):
    for form in ("table", "json", "csv"):
        theirs = run(*question, "--url", ledger.path, "--format", form)
        ours = run(*question, "--export", exported, "--format", form)
        assert theirs[0] == 0
        if question not in (["consents"], ["certificates"]):  # they say the present second
            assert ours == theirs
        if form == "table":
            assert max(len(line) for line in theirs[1].splitlines()) <= 100
        elif form == "json":
            assert json.loads(theirs[1])["rows"]
        else:
            assert len(list(csv.reader(io.StringIO(theirs[1])))) > 1


def test_a_model_is_followed_back(run, ledger):
    _, out, _ = run("rounds", "--url", ledger.path, "--format", "json")
    model = json.loads(out)["rows"][-1]["model"]
    code, out, _ = run("lineage", model[:8], "--url", ledger.path)
    assert code == 0
    assert "4 rounds, 4 sites" in out


def test_a_proof_is_printed_whole(run, ledger):
    code, out, _ = run("show", "20", "--proof", "--url", ledger.path)
    assert code == 0
    proof = out[out.index("c2sp.org/tlog-proof@v1") :].splitlines()
    assert proof[1] == "index 20"
    assert any(line.startswith("— concilium/heart ") for line in proof)


def test_a_printed_proof_ends_with_the_signed_note_and_no_other_line(run, ledger):
    _, out, _ = run("show", "20", "--proof", "--url", ledger.path)
    head = out[out.index("c2sp.org/tlog-proof@v1") :].split("\n\n", 1)[1]
    # Others' readers split a note at its last blank line.
    assert note.parse(head).signed == head


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        (
            ["agreements", "--at", "2026-11-21T10:00:00Z"],
            "Agreements as of 2026-11-21 10:00:00 UTC",
        ),
        (["contributions", "--refused"], "Contributions: 1 refused"),
        (["rounds", "--state", "abandoned"], "2 abandoned attempts"),
    ],
)
def test_a_title_says_nothing_of_what_was_not_asked_for(run, ledger, asked, title):
    code, out, _ = run(*asked, "--url", ledger.path)
    assert (code, out.splitlines()[0].strip()) == (0, title)


@pytest.mark.parametrize("asked", [["show", "9" * 30], ["round", "9" * 30]])
def test_a_number_that_no_database_holds_is_refused(run, ledger, exported, asked):
    for where in (["--url", ledger.path], ["--export", exported]):
        code, _, err = run(*asked, *where)
        assert (code, "[unknown-entry]" in err) == (2, True), err


def test_edited_tables_are_made_anew(run, ledger):
    ledger.run(
        ("UPDATE consents SET state = 'in-force' WHERE site = 'kul'",),
        ("DELETE FROM rounds WHERE round = 2",),
    )
    assert run("verify", "--url", ledger.path)[0] == 1
    code, out, _ = run("rebuild", "--url", ledger.path, "--format", "json")
    assert code == 0
    made = {row["table"]: row for row in json.loads(out)["rows"]}
    assert (made["consents"]["rows_taken_away"], made["consents"]["rows_added"]) == (1, 1)
    assert (made["rounds"]["rows_taken_away"], made["rounds"]["rows_added"]) == (0, 2)
    assert made["keys"]["rows_added"] == 0
    assert run("verify", "--url", ledger.path)[0] == 0


def test_asking_changes_nothing(run, ledger):
    before = ledger.path.read_bytes()
    for question in (["verify"], *QUESTIONS):
        run(*question, "--url", ledger.path)
    assert ledger.path.read_bytes() == before


def test_a_ledger_is_read_while_it_is_written(run, ledger):
    engine = store.open_engine(f"sqlite:///{ledger.path}")
    with engine.begin():
        assert run("verify", "--url", ledger.path)[0] == 0
    engine.dispose()


# --- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["verify"], "--url or an export"),
        (["verify", "--url", "{tmp}/none.db"], "there is no file"),
        (["verify", "--url", "nonsense://x"], "no URL of a database"),
        (["verify", "--url", "sqlite://"], "there is no file"),
        (["verify", "--url", "{tmp}/text.db"], "not a database"),
        (["verify", "--url", "{tmp}/empty.db"], "holds no ledger"),
        (["verify", "--url", "{db}", "--export", "{tmp}"], "either a database"),
        (["verify", "--export", "{tmp}"], "no entries.jsonl"),
        (["verify", "--url", "{db}", "--trust", "{tmp}/none"], "none"),
        (["verify", "--url", "{db}", "--trust", "{tmp}/text.db"], "text.db:1"),
        (["verify", "--url", "{db}", "--against", "{tmp}/text.db"], "text.db: a signed note"),
        (["verify", "--url", "{db}", "--signatures", "some"], "some"),
        (["verify", "--url", "{db}", "--format", "xml"], "xml"),
        (["consents", "--url", "{db}", "--at", "soon"], "no time"),
        (["consents", "--url", "{db}", "--round", "99"], "no round 99"),
        (["round", "99", "--url", "{db}"], "no round 99"),
        (["round", "x", "--url", "{db}"], "number"),
        (["show", "9999", "--url", "{db}"], "no entry 9999"),
        (["lineage", "ffffffff", "--url", "{db}"], "no committed model"),
        (["export", "{tmp}", "--url", "{db}"], "other files"),
        (["export", "{tmp}/x", "--url", "{db}", "--since", "9999"], "no entry 9999"),
        (["rebuild"], "--url"),
        (["rebuild", "--url", "{tmp}/none.db"], "there is no file"),
        (["enrol", "nonsense", "--identity", "{tmp}/me"], "token"),
        (["nonsense"], "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_exit_2(run, ledger, tmp_path, arguments, sentence):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "text.db").write_text("this is no database, and no note\n" * 40)
    (folder / "empty.db").touch()
    filled = [text.format(tmp=folder, db=ledger.path) for text in arguments]
    code, out, err = run(*filled)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert sentence in err
    assert "Traceback" not in err


def test_a_folder_that_is_no_export_is_said_to_be_none(run, tmp_path):
    code, _, err = run("verify", "--export", tmp_path)
    assert (code, err.splitlines()[1:]) == (
        2,
        ["With --export, name a folder as `export` writes it: it holds entries.jsonl."],
    )


def token(role, port):
    return enrolment.mint(
        enrolment.Token(
            federation="heart",
            role=role,
            name="aud",
            root="0" * 64,
            enrolment=f"localhost:{port}",
            coordinator="localhost:1",
            secret=bytes(32),
        )
    )


@pytest.mark.parametrize("role", ["site", "operator"])
def test_the_token_of_another_role_is_refused_before_a_key_is_made(run, tmp_path, role):
    code, _, err = run("enrol", token(role, 1), "--identity", tmp_path / "me")
    assert code == 2
    assert role in err
    assert not (tmp_path / "me").exists()


def test_a_coordinator_that_is_away_is_exit_3_and_nothing_is_lost(run, tmp_path):
    for _ in range(2):
        code, _, err = run("enrol", token("auditor", 1), "--identity", tmp_path / "me")
        assert code == 3
        assert "nobody answers" in err


def test_what_others_wrote_cannot_steer_the_terminal(run, ledger):
    ledger.run(
        ("UPDATE disclosures SET value = char(27) || '[2Jgone' WHERE label = 'officer'",)
    )
    for question in (["consents"], ["show", ledger.seq_of("consent-given")]):
        code, out, _ = run(*question, "--url", ledger.path)
        assert code == 0
        assert "gone" in out
        assert "\x1b" not in out


def test_a_password_is_never_printed(run):
    url = "postgresql+psycopg://auditor:secret@127.0.0.1:1/heart"
    code, _, err = run("verify", "--url", url)
    assert code in {2, 3}
    assert "secret" not in err


def test_help_loads_neither_database_nor_cryptography():
    code = (
        "import sys\n"
        "import governance.ledger.cli\n"
        "slow = {'sqlalchemy', 'cryptography', 'numpy', 'rich', 'grpc', 'pydantic'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
