"""The site's journal against the ledger: dropped, changed and invented are told apart."""

from __future__ import annotations

import subprocess

import pytest
import pytest_asyncio
from hospital import FEDERATION, SITE, officer_of
from posting import Post
from simulated import Log

from governance import statements
from governance.ledger import checkpoint, source
from governance.ledger.verify import verify
from protos.errors import Refused
from protos.words import Digest, StatementReceipt
from site_agent import auditing, evidence, voice
from site_agent.auditing import Found, Shown, compared
from site_agent.store import journal
from site_agent.voice import Saying

BODY = {"program": "concilium-site", "version": "1", "os": "Linux"}


@pytest_asyncio.fixture
async def post(charite, tmp_path):
    made = Post(charite, tmp_path / "log.db")
    yield made
    made.close()


def say(charite, **more):
    saying = Saying("software-started", BODY | more, "always")
    return charite.store.now(lambda c: voice.say(c, charite.m.voice, saying))


def found(post):
    answer, any_ = auditing.audit(post.charite.m)
    assert any_ is bool(answer.rows)
    return [(row[0], row[1], row[2]) for row in answer.rows]


async def test_a_journal_and_the_ledger_that_agree_leave_nothing_to_find(post):
    post.log.append(say(post.charite))
    await post.see()
    answer, any_ = auditing.audit(post.charite.m)
    assert not any_
    assert answer.notes[-1] == "Nothing was dropped, changed or invented."
    assert answer.facts == {"statements": 2, "own_entries": 2, "size": 6}


async def test_a_statement_whose_receipt_names_another_entry_was_dropped(post):
    said = say(post.charite)
    post.log.propose(post.charite.document())  # entry 5 is an operator's
    post.charite.take(StatementReceipt(said.digest, accepted=True, seq=5))
    await post.see()
    assert found(post) == [(5, "dropped", "software-started")]


async def test_a_receipt_for_what_this_copy_has_not_reached_is_no_finding(post):
    await post.see()
    said = say(post.charite)
    post.charite.take(StatementReceipt(said.digest, accepted=True, seq=5))
    assert found(post) == []


def shown(*own, size=9, counted=()):
    return Shown(size, own, dict(counted))


def entry(statement, seq, *, digest=None):
    from governance.ledger.store import Own

    return Own(
        seq, digest or statement.digest, statement.kind, statement.key, statement.counter
    )


def every(charite):
    return charite.store.look(lambda c: journal.every(c, FEDERATION))


def test_another_statement_in_the_place_of_a_signed_one_is_a_change(charite):
    mine = say(charite)
    own = every(charite)[0].statement
    other = entry(mine, 4, digest=Digest("f" * 64))
    told = compared(every(charite), shown(entry(own, 1), other))
    assert [(one.seq, one.found) for one in told] == [(4, Found.CHANGED)]


def test_a_statement_that_is_in_no_journal_is_invented(charite):
    own = every(charite)[0].statement
    payload = statements.compose(
        "consent-withdrawn",
        {"agreement": "a" * 64},
        actor=f"site/{SITE}",
        key=officer_of(SITE).key_id,
        chain=own.chain,
        log=charite.m.voice.log,
        at=charite.clock(),
    )
    forged = statements.read(statements.sign(payload, [officer_of(SITE)]))
    told = compared(every(charite), shown(entry(own, 1), entry(forged, 7)))
    assert [(one.seq, one.found, one.kind) for one in told] == [
        (7, Found.INVENTED, "consent-withdrawn")
    ]


def test_a_round_that_counts_an_update_which_was_never_sent_is_invented(charite):
    own = every(charite)[0].statement
    told = compared(every(charite), shown(entry(own, 1), counted=[((3, 1), 8)]))
    assert [(one.seq, one.found, one.kind) for one in told] == [
        (8, Found.INVENTED, "round-closed")
    ]
    assert "round 3" in told[0].why


def run(command, folder):
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


# --- evidence --------------------------------------------------------------------------------


async def convicted(post, tmp_path):
    """Show the site a head of another history, and return where its evidence lies."""
    await post.see()
    other = Log(post.charite, tmp_path / "other.db")
    other.say("software-started", BODY, "coordinator", other.key)
    post.log.propose(post.charite.document())
    await post.see()
    theirs = other.checkpoint()
    with pytest.raises(Refused):
        await post.witness.witness(theirs)
    other.close()
    folder = tmp_path / "evidence"
    _, any_ = auditing.audit(post.charite.m, folder)
    assert any_
    return folder


async def test_evidence_is_checked_with_openssl_alone(post, tmp_path):
    folder = await convicted(post, tmp_path)
    for head in ("held", "shown"):
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "log.pem", "-rawin"]
        files = ["-in", f"{head}.text", "-sigfile", f"{head}.sig"]
        run(command + files, folder)
    texts = [(folder / f"{head}.text").read_text().split("\n") for head in ("held", "shown")]
    assert texts[0][:2] == texts[1][:2], "one log, one size"
    assert texts[0][2] != texts[1][2], "two roots"


async def test_evidence_is_checked_with_the_auditors_program(post, tmp_path):
    folder = await convicted(post, tmp_path)
    copy = source.Export(folder / "ledger")
    assert verify(copy).verified
    against = source.split_witnesses((folder / "shown.note").read_text())
    assert verify(copy, against=against).fault.rule == "history-rewritten"


async def test_evidence_never_overwrites_anything(post, tmp_path):
    await post.see()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Refused) as told:
        auditing.audit(post.charite.m, tmp_path)
    assert told.value.rule == "evidence-exists"


async def test_without_an_alarm_evidence_is_the_head_that_the_site_holds(post, tmp_path):
    sent = await post.see()
    auditing.audit(post.charite.m, tmp_path / "held")
    text = (tmp_path / "held" / "held.text").read_text()
    assert text == checkpoint.read(sent.note, post.witness._key).body
    assert not (tmp_path / "held" / "shown.note").exists()


def test_the_notes_of_an_alarm_are_told_apart_again(charite):
    problem = Refused("two", rule="history-differs")
    ours, theirs = "o\n1\nr\n\n— o a\n", "o\n2\nq\n\n— o b\n"
    charite.store.now(
        lambda c: evidence.raise_alarm(c, FEDERATION, problem, ours=ours, theirs=theirs)
    )
    kept = charite.store.look(lambda c: evidence.found(c, FEDERATION))
    assert (kept.ours, kept.theirs) == (ours, theirs)
