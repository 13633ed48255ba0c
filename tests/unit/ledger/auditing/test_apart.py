"""A long log's tables are made by a second process, whose word counts for that log alone."""

from __future__ import annotations

import io
import shutil

import pytest
from verdicts import found

from governance.ledger import source, store
from governance.ledger.apart import Apart, beginning
from governance.ledger.verify import verify
from governance.ledger.watching import unwatched


@pytest.fixture
def verified(monkeypatch):
    """Verify a database, its tables made by a second process from the same or another one."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})

    def verified(ledger, path=None):
        with (
            ledger.reading() as connection,
            beginning(
                source.Database(connection), str(path or ledger.path), None, worth_it=1
            ) as apart,
        ):
            assert apart is not None
            return verify(source.Database(connection), apart=apart)

    return verified


def test_tables_made_by_a_second_process_are_those_of_the_log(ledger, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    with ledger.reading() as connection:
        held, head = source.Database(connection), store.head(connection)
        with beginning(held, str(ledger.path), None, worth_it=1) as apart:
            made = apart.made(unwatched)
    assert (made.size, made.root, made.fault) == (head.size, head.root, None)


def test_clean_log_verifies_with_a_second_process(ledger, verified):
    verdict = verified(ledger)
    assert verdict.verified, verdict.sentence


def test_table_that_was_edited_is_named_by_a_second_process(ledger, verified):
    ledger.run(("UPDATE consents SET state = 'in-force' WHERE site = 'kul'",))
    fault = verified(ledger).fault
    assert fault == ledger.verdict().fault
    assert fault.rule == "projection-altered"


def test_what_was_made_from_another_log_does_not_count(ledger, keys, speak, verified, tmp_path):
    other = shutil.copy(ledger.path, tmp_path / "other.db")
    body = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}
    ledger.append(speak("software-started", body, "site/ucl", keys.key("ucl agent")))
    ledger.run(("UPDATE consents SET state = 'in-force' WHERE site = 'kul'",))
    fault = verified(ledger, other).fault
    assert fault == ledger.verdict().fault
    assert fault is not None


def test_second_process_that_ends_without_a_word_is_done_without(ledger, verified, tmp_path):
    ledger.run(("UPDATE consents SET state = 'in-force' WHERE site = 'kul'",))
    found(
        verified(ledger, tmp_path / "nothing.db"),
        ledger.verdict().fault.seq,
        "projection-altered",
    )


def test_second_process_tells_how_far_it_is():
    passed = []

    def watch(_what, entries):
        for entry in entries:
            passed.append(entry)
            yield entry

    made = Apart(io.StringIO('256\n256\n{"size": 600, "root": "ab", "fault": null}\n')).made(
        watch
    )
    assert (len(passed), made.size) == (512, 600)


def test_short_log_needs_no_second_process(ledger):
    with (
        ledger.reading() as connection,
        beginning(source.Database(connection), str(ledger.path), None) as apart,
    ):
        assert apart is None
