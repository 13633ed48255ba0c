"""A hospital asks for the erasure of what it disclosed, and forgets it with the ledger."""

from __future__ import annotations

import hashlib

import pytest
from hospital import FEDERATION, SITE, officer_of
from posting import Post

from governance import statements
from governance.ledger import store as ledger
from protos import codec
from protos.errors import Refused
from protos.words import FromSite, StatementSent
from site_agent import drafts, erasing
from site_agent.store import egress, journal
from site_agent.store.egress import Left


@pytest.fixture
def post(charite, tmp_path):
    made = Post(charite, tmp_path / "log.db")
    yield made
    made.close()


async def consented(post):
    """Let the consent be in the ledger and in this site's copy; return its seq."""
    document = post.charite.proposed()
    post.log.propose(document)
    post.charite.consent(document)
    post.log.take_all()
    await post.see()
    return post.charite.said("consent-given")[0].seq


def ask(charite, seq, label="officer"):
    draft = charite.store.look(lambda c: erasing.draft(c, charite.m, seq, label))
    signed = drafts.sign(draft, officer_of(SITE))
    return charite.store.now(lambda c: erasing.deliver(c, charite.m, signed))


def erase(post, seq, label="officer"):
    post.log.take_all()
    body = {"entry": seq, "label": label}
    return post.log.say("erased", body, "operator/ops", officer_of("operator"))


def labels(post):
    (said,) = post.charite.said("consent-given")
    return {one.label for one in said.disclosures}


async def test_the_journal_forgets_a_value_that_its_officer_asked_to_erase(post):
    seq = await consented(post)
    ask(post.charite, seq)
    assert labels(post) == {"officer", "role"}
    erase(post, seq)
    assert labels(post) == {"officer", "role"}
    await post.see()
    assert labels(post) == {"role"}


async def test_a_crash_before_the_journal_forgot_is_made_good(post):
    seq = await consented(post)
    ask(post.charite, seq)
    erase(post, seq)
    news = post.log.do(lambda c: list(ledger.entries(c, seq, ledger.size_of(c))))
    post.copy.now(lambda c: ledger.append_mirrored(c, news))
    post.restart()
    await post.witness._send_last()
    assert labels(post) == {"role"}


async def test_what_was_sent_is_listed_without_the_value_that_was_erased(post):
    seq = await consented(post)
    (said,) = post.charite.said("consent-given")
    sent = FromSite(StatementSent(said.statement.envelope, said.disclosures), seq=3)
    raw = codec.from_site_bytes(sent)
    left = Left(
        *(post.charite.clock(), "consent-given", len(raw)),
        *(hashlib.sha256(raw).hexdigest(), "officer"),
        content=raw,
    )
    post.charite.store.now(lambda c: egress.record(c, FEDERATION, left))
    ask(post.charite, seq)
    erase(post, seq)
    await post.see()
    (kept,) = post.charite.store.look(lambda c: egress.listed(c, FEDERATION))
    body = codec.from_site_parse(kept.content).body
    assert body.envelope == said.statement.envelope
    assert [one.label for one in body.disclosures] == ["role"]
    assert kept.digest == left.digest


async def test_a_hospital_asks_for_its_own_values_alone_and_once(post):
    seq = await consented(post)
    for place, label, rule in (
        (seq, "reason", "no-such-disclosure"),
        (0, "officer", "not-yours"),
    ):
        with pytest.raises(Refused) as caught:
            ask(post.charite, place, label)
        assert caught.value.rule == rule
    ask(post.charite, seq)
    with pytest.raises(Refused) as caught:
        ask(post.charite, seq)
    assert caught.value.rule == "erasure-asked"


async def test_a_copy_refuses_an_erasure_that_its_officer_never_signed(post):
    seq = await consented(post)
    key = officer_of("operator")
    with pytest.raises(Refused) as caught:
        erase(post, seq)
    assert caught.value.rule == "owner-did-not-ask"
    payload = statements.compose(
        "erased",
        {"entry": seq, "label": "officer"},
        actor="operator/ops",
        key=key.key_id,
        chain=post.copy.now(lambda c: ledger.chain_of(c, key.key_id)),
        log=post.log.authority.log,
        at=post.charite.clock(),
    )
    statement = statements.read(statements.sign(payload, [key]))
    now = post.charite.clock()
    with pytest.raises(Refused) as caught:
        post.copy.now(lambda c: ledger.append(c, statement, received_at=now))
    assert caught.value.rule == "owner-did-not-ask"
    assert labels(post) == {"officer", "role"}


def accepted(today, seq=7):
    today.consented()
    (said,) = today.said("consent-given")
    accepted = {"status": journal.ACCEPTED, "seq": seq}
    today.store.now(lambda c: journal.mark(c, FEDERATION, said.statement.digest, **accepted))


def test_the_officer_is_shown_the_value_and_signs_once(program, today, secret):
    accepted(today)
    argv = ("--yes", "--passphrase-file", secret, "--site", today.file)
    code, _, told = program("erase", "7:officer", *argv)
    assert code == 0, told
    assert "cannot be undone" in " ".join(told.split())
    today.restart()
    (said,) = today.said("erasure-requested")
    assert said.statement.body == {"entry": 7, "label": "officer"}
    assert program("erase", "7:officer", *argv)[0] == 2


def test_an_erasure_can_be_asked_for_on_another_machine(program, today, secret, tmp_path):
    accepted(today)
    file, key = tmp_path / "erase.json", tmp_path / "officer.pem"
    assert program("erase", "7:role", "--export", file, "--site", today.file)[0] == 0
    (today.folder / "keys" / "officer.pem").rename(key)
    argv = ["sign", file, "--officer-key", key, "--passphrase-file", secret, "--yes"]
    assert program(*argv)[0] == 0
    assert program("consent", "--import", file, "--site", today.file)[0] == 0
    today.restart()
    assert len(today.said("erasure-requested")) == 1


@pytest.mark.parametrize("named", ["7", "7:", "officer", "8:officer", "7:reason"])
def test_what_is_no_value_of_this_hospital_is_refused_in_a_sentence(program, today, named):
    accepted(today)
    code, _, told = program("erase", named, "--site", today.file)
    assert code == 2
    assert "Traceback" not in told
