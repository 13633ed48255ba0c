"""Leaving the federation from the hospital's program: said before, and in force at once."""

from __future__ import annotations

from hospital import FEDERATION

from governance.consent import Consent
from site_agent.agent import TaskState
from site_agent.standing import has_left, standing_of
from site_agent.store import notes


def left(hospital):
    hospital.restart()
    return hospital.store.look(lambda c: has_left(c, FEDERATION))


def test_a_dry_run_says_what_follows_and_signs_nothing(program, today):
    today.consented()
    code, _, told = program("leave", "--dry-run", "--site", today.file)
    assert code == 0
    words = " ".join(told.split())
    for said in ("takes no further task", "stays spent", "new keys", "certificate of its exit"):
        assert said in words
    assert not left(today)
    assert today.said("exit-requested") == []


def test_leaving_counts_at_once_while_the_agent_and_the_coordinator_are_away(
    program, today, secret
):
    document = today.consented()
    task = today.task(document)
    today.take(task)
    code, _, told = program(
        *("leave", "--yes", "--passphrase-file", secret, "--site", today.file)
    )
    assert code == 0, told
    assert "will be delivered" in told
    assert left(today)
    (said,) = today.said("exit-requested")
    assert said.statement.body["cause"] == "own-wish"
    standing = today.store.look(lambda c: standing_of(c, FEDERATION, document.digest))
    assert standing.state is Consent.WITHDRAWN
    assert today.held(task).state is TaskState.CANCELLED


def test_status_of_who_has_left_asks_for_no_agent(program, today):
    today.consented()
    kept = today.premises.exit_of(FEDERATION)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(b"{}")
    today.store.now(lambda c: notes.set_note(c, FEDERATION, notes.LEFT, "yes"))
    code, out, _ = program("status", "--site", today.file)
    words = "".join(out.split())  # a line may end within the path
    assert code == 0
    assert f"Thishospitalhasleft{FEDERATION};thecertificateofitis{kept}." in words
    assert "concilium-siterun" not in words


def test_leaving_twice_is_refused(program, today, secret):
    today.consented()
    argv = ("leave", "--yes", "--passphrase-file", secret, "--site", today.file)
    assert program(*argv)[0] == 0
    code, _, told = program(*argv)
    assert code == 2
    assert "has asked to leave" in told


def test_leaving_can_be_signed_on_another_machine(program, today, secret, tmp_path):
    today.consented()
    file, key = tmp_path / "leave.json", tmp_path / "officer.pem"
    assert program("leave", "--export", file, "--site", today.file)[0] == 0
    assert not left(today)
    (today.folder / "keys" / "officer.pem").rename(key)
    argv = ["sign", file, "--officer-key", key, "--passphrase-file", secret, "--yes"]
    assert program(*argv)[0] == 0
    assert program("consent", "--import", file, "--site", today.file)[0] == 0
    assert left(today)
