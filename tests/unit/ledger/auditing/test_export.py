"""An export: the same log without its database, for people who have none of ours."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from governance.ledger import export as exporting
from governance.ledger import queries, query_rounds, rebuild, showing, source, store
from governance.ledger.verify import verify
from protos.errors import Refused


def export(path, folder, **options):
    engine = source.open_database(str(path))
    try:
        with engine.connect() as connection:
            return exporting.export(source.Database(connection), folder, **options)
    finally:
        engine.dispose()


@pytest.fixture
def exported(ledger, tmp_path):
    folder = tmp_path / "export"
    made = export(ledger.path, folder)
    assert made.size == len(ledger.entries())
    return folder


def lines(folder):
    return [json.loads(line) for line in (folder / "entries.jsonl").read_text().splitlines()]


def write(folder, entries):
    text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    (folder / "entries.jsonl").write_text(text)


def test_an_export_verifies_as_its_database_does(ledger, exported):
    theirs, ours = ledger.verdict(), verify(source.Export(exported))
    assert ours.verified
    assert ours == theirs


def test_an_export_holds_what_it_says(ledger, exported):
    names = {path.name for path in exported.iterdir()}
    assert names == {
        "README.md",
        "checkpoint",
        "checkpoints",
        "disclosures.jsonl",
        "entries.jsonl",
        "keys.json",
        "ledger.vkey",
        "root.pem",
    }
    first = lines(exported)[0]
    assert first.keys() == {"seq", "received_at", "envelope"}
    assert first["envelope"].encode() == ledger.entries()[0][2]
    assert (exported / "checkpoint").read_text().count("— concilium/heart/site/") == 3
    assert "concilium/heart+" in (exported / "ledger.vkey").read_text()
    assert {key["name"] for key in json.loads((exported / "keys.json").read_text())} >= {"amc"}


def test_an_export_made_twice_is_the_same_bytes(ledger, exported):
    before = {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()}
    export(ledger.path, exported)
    assert {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()} == before


def test_an_export_of_an_export_is_the_same(exported, tmp_path):
    exporting.export(source.Export(exported), tmp_path / "again")
    for path in exported.rglob("*"):
        if path.is_file():
            again = tmp_path / "again" / path.relative_to(exported)
            assert again.read_bytes() == path.read_bytes(), path


def test_an_export_takes_the_place_of_an_older_one_alone(ledger, tmp_path):
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "will.txt").write_text("mine")
    with pytest.raises(Refused, match="other files"):
        export(ledger.path, folder)
    assert [path.name for path in folder.iterdir()] == ["will.txt"]
    with pytest.raises(Refused, match="a file"):
        export(ledger.path, folder / "will.txt")


def test_two_parts_of_an_export_are_joined_by_cat(ledger, tmp_path):
    whole, late = tmp_path / "whole", tmp_path / "late"
    export(ledger.path, late, since=50)
    verdict = verify(source.Export(late))
    assert verdict.fault.seq == 0
    assert "join" in verdict.fault.sentence
    export(ledger.path, whole)
    early = lines(whole)[:50]
    write(late, early + lines(late))
    shutil.copy(whole / "disclosures.jsonl", late / "disclosures.jsonl")
    assert verify(source.Export(late)).verified


def test_there_is_nothing_to_export_beyond_the_end(ledger, tmp_path):
    with pytest.raises(Refused, match="no entry 1000"):
        export(ledger.path, tmp_path / "export", since=1000)


def test_an_export_answers_as_its_database_does(ledger, exported, keys):
    engine = source.open_database(str(ledger.path))
    with engine.connect() as theirs, rebuild.empty() as ours:
        rebuild.load(ours, source.Export(exported))
        for ask in (
            lambda c: queries.consents_at(c, now=keys.now),
            query_rounds.rounds_held,
            lambda c: query_rounds.one_round(c, 2),
            queries.spent,
            lambda c: queries.certificates_issued(c, now=keys.now),
            lambda c: showing.show(c, 20, proof=True),
        ):
            assert ask(ours) == ask(theirs)
        assert store.latest_checkpoint(ours) == store.latest_checkpoint(theirs)
    engine.dispose()


def test_an_altered_export_answers_nothing(exported):
    entries = lines(exported)
    entries[20]["envelope"] = entries[20]["envelope"].replace("payload", "payl0ad", 1)
    write(exported, entries)
    with rebuild.empty() as c, pytest.raises(Refused, match="entry 20"):
        rebuild.load(c, source.Export(exported))


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        (lambda entries: entries.pop(30), 30),
        (lambda entries: entries.insert(30, entries[29]), 30),
        (lambda entries: entries.reverse(), 0),
        (lambda entries: entries[12].update(received_at="2026-11-21T08:00:00.000000Z"), 12),
        (lambda entries: entries[12].update(received_at="yesterday"), 12),
        (lambda entries: entries[12].update(envelope="{}"), 12),
    ],
)
def test_an_altered_export_is_named(exported, change, seq):
    entries = lines(exported)
    change(entries)
    write(exported, entries)
    verdict = verify(source.Export(exported))
    assert verdict.fault is not None
    assert verdict.fault.seq == seq


@pytest.mark.parametrize("line", ["", "nonsense", "[]", '{"seq": 1}', "[" * 5000, "\udcff"])
def test_a_damaged_line_is_a_fault_of_its_entry(exported, line):
    entries = (exported / "entries.jsonl").read_text().splitlines()
    entries[7] = line
    whole = "\n".join(entries).encode(errors="surrogateescape")
    (exported / "entries.jsonl").write_bytes(whole)
    verdict = verify(source.Export(exported))
    assert (verdict.fault.seq, verdict.fault.rule) == (7, "bad-export")


def test_a_cut_export_is_found_by_its_own_checkpoint(exported):
    write(exported, lines(exported)[:70])
    verdict = verify(source.Export(exported))
    assert (verdict.fault.seq, verdict.fault.rule) == (70, "tail-cut")


def test_other_keys_in_an_export_are_found(exported):
    keys = json.loads((exported / "keys.json").read_text())
    keys[3]["until_seq"] = 5
    (exported / "keys.json").write_text(json.dumps(keys))
    assert verify(source.Export(exported)).fault.rule == "projection-altered"
    (exported / "keys.json").write_text("{}")
    with pytest.raises(Refused, match="keys"):
        verify(source.Export(exported))


def test_a_damaged_checkpoint_is_found(exported):
    (exported / "checkpoint").write_text("no note")
    assert verify(source.Export(exported)).fault.rule == "bad-checkpoint"


def test_a_disclosure_that_was_changed_is_named(ledger, exported):
    text = (exported / "disclosures.jsonl").read_text()
    (exported / "disclosures.jsonl").write_text(text.replace("A. Person", "B. Person", 1))
    assert verify(source.Export(exported)).fault.seq == ledger.seq_of("consent-given")


def test_a_folder_without_an_export_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"entries\.jsonl"):
        source.Export(tmp_path)


# --- without our program -------------------------------------------------------------------


@pytest.fixture
def short(new, tmp_path):
    """The export of a log with one checkpoint and an odd number of entries."""
    new.found()
    new.enrol("operator", "ops")
    new.enrol_site("amc")
    store.sign_checkpoint(new.connection, new.key("ledger"), new.log.origin)
    new.coordinator("software-started", {"program": "p", "version": "1 é", "os": "Linux"})
    exporting.export(source.Database(new.connection), tmp_path / "short")
    return tmp_path / "short"


def checked(folder):
    readme = (folder / "README.md").read_text()
    (script,) = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    command = ["bash", "-c", script]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


needs_tools = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("bash", "jq", "openssl", "sha256sum")),
    reason="needs bash, jq, openssl and sha256sum",
)


@needs_tools
@pytest.mark.sqlite
def test_the_readmes_script_verifies_without_our_program(short):
    done = checked(short)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "entries: 4" in done.stdout
    assert "checkpoint: 3 entries" in done.stdout


@needs_tools
@pytest.mark.sqlite
def test_the_readmes_script_finds_an_altered_entry(short):
    entries = lines(short)
    entries[1]["received_at"] = "2026-11-21T09:00:09.000000Z"
    write(short, entries)
    assert checked(short).returncode == 1
    assert "another root" in checked(short).stdout


@needs_tools
@pytest.mark.sqlite
def test_the_readmes_script_finds_a_bad_signature(short):
    entries = lines(short)
    envelope = json.loads(entries[3]["envelope"])
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    entries[3]["envelope"] = json.dumps(envelope)
    write(short, entries)
    done = checked(short)
    assert done.returncode == 1
    assert "entry 3: its signature is bad" in done.stdout


@pytest.mark.slow
def test_an_export_is_read_in_another_process(exported):
    code = "from governance.ledger.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", "--export", str(exported), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["verified"] is True


@pytest.mark.parametrize("name", ["root.pem", "ledger.vkey"])
@pytest.mark.parametrize("how", ["altered", "gone"])
def test_a_file_that_others_rely_on_is_what_the_first_entry_says(exported, name, how):
    path = exported / name
    if how == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text()[:-9] + "AAAAAAAA\n")
    verdict = verify(source.Export(exported))
    assert (verdict.verified, verdict.fault.rule) == (False, "altered-file")
    assert name in verdict.fault.sentence
