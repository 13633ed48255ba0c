"""A key is replaced in steps, and killed between any two of them the next try completes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hospital import FEDERATION, SECRET, SITE, officer_of

from governance.identity.keys import SigningKey
from protos.errors import Refused
from protos.words import StatementReceipt
from site_agent import office, turning
from site_agent.store import journal
from site_agent.voice import Saying, say

NEXT = b"another secret"


class Killed(BaseException):
    """What kill -9 is to a process."""


def kill_at(monkeypatch, number):
    """Let the process die at its nth change of a file's name."""
    replace, link, left = Path.replace, turning.os.link, [number]

    def counted(change):
        def dying(*args, **named):
            left[0] -= 1
            if not left[0]:
                raise Killed
            return change(*args, **named)

        return dying

    monkeypatch.setattr(Path, "replace", counted(replace))
    monkeypatch.setattr(turning.os, "link", counted(link))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_officers_rotation_that_was_killed_is_completed_by_the_next_try(
    charite, monkeypatch, number
):
    path = charite.settings.officer_key
    turned = SigningKey.generate()
    turned.save(path.with_name(f"{path.name}.next"), passphrase=NEXT)
    with monkeypatch.context() as patched:
        kill_at(patched, number)
        try:
            turning.turn_officer(charite.m, path, SECRET, NEXT)
        except Killed:
            turning_again = True
        else:
            turning_again = False
    if turning_again:
        assert path.exists()
        turning.turn_officer(charite.m, path, SECRET, NEXT)
    assert SigningKey.load(path, passphrase=NEXT).key_id == turned.key_id
    old = path.with_name(f"{path.name}.old")
    assert SigningKey.load(old, passphrase=SECRET).key_id == officer_of(SITE).key_id
    assert len(charite.said("key-rotated")) == 1
    known, _ = charite.store.look(lambda c: office.officers_of(c, charite.m))
    assert known == (turned.key_id,)


def test_an_agents_rotation_that_was_killed_is_completed_by_the_next_try(charite, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(turning.folder, "finish_rotation", kill)
        with pytest.raises(Killed):
            turning.turn_agent(charite.m, charite.identity, [officer_of(SITE)])
    turning.turn_agent(charite.m, charite.identity, [officer_of(SITE)])
    (said,) = charite.said("key-rotated")
    assert charite.m.voice.key.key_id == said.statement.body["new"]


def kill(*_):
    raise Killed


def test_no_key_is_replaced_while_what_it_signed_waits_for_the_ledger(charite):
    """Were that refused, the rotation behind it would stand on nothing."""
    saying = Saying("software-started", {"program": "x", "version": "1", "os": "y"}, "always")
    statement = charite.store.now(lambda c: say(c, charite.m.voice, saying))
    with pytest.raises(Refused) as told:
        turning.turn_agent(charite.m, charite.identity, [officer_of(SITE)])
    assert told.value.rule == "statements-wait"
    assert charite.m.voice.key.key_id == charite.identity.signing_key().key_id
    charite.take(StatementReceipt(statement.digest, accepted=True, seq=9))
    turning.turn_agent(charite.m, charite.identity, [officer_of(SITE)])
    queued = charite.store.look(
        lambda c: journal.by_key(c, FEDERATION, statement.key, status=journal.QUEUED)
    )
    assert [one.statement.kind for one in queued] == ["key-rotated"]
