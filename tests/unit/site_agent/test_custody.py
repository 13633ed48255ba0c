"""A site's control variates when a hospital's exit moves the base of training."""

from __future__ import annotations

from hospital import FEDERATION

from site_agent import custody
from site_agent.store import carried
from site_agent.store.carried import COMMITTED, Control


def test_controls_from_before_an_exit_that_moved_the_base_are_dropped(charite):
    document = charite.document()
    for number in (1, 2, 3):
        control = Control(document.digest, number, 1, f"work/c{number}", COMMITTED)
        charite.store.now(lambda c, one=control: carried.keep_control(c, FEDERATION, one))
    charite.store.now(lambda c: custody.restart(c, charite.m, until=2))
    own = charite.store.look(lambda c: carried.own_control(c, FEDERATION, document.digest))
    assert own.round == 3
    charite.store.now(lambda c: custody.restart(c, charite.m, until=3))
    assert (
        charite.store.look(lambda c: carried.own_control(c, FEDERATION, document.digest))
        is None
    )
