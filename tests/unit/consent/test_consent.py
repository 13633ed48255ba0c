"""Every cell of the table of consent, and what time does to it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.consent import ENDED, SUSPENDED, Consent, Event, advance, at, in_force_at
from protos.errors import Refused

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
COLUMNS = (
    Event.SIGNED,
    Event.DECLINED,
    Event.OBJECTED,
    Event.PAUSED,
    Event.RESUMED,
    Event.WITHDRAWN,
    Event.LAPSED,
    Event.OWN_NEW_CONSENT,
    Event.LEFT_OUT,
)
NONE = "- - - - - - - - -"
TABLE = {
    "proposed": "in-force declined - - - declined lapsed - lapsed",
    "in-force": "- - objected paused - withdrawn lapsed superseded outdated",
    "objected": "- - - - in-force withdrawn lapsed superseded outdated",
    "paused": "- - - - in-force withdrawn lapsed superseded outdated",
    "outdated": "- - - - - withdrawn lapsed superseded outdated",
    "declined": NONE,
    "withdrawn": NONE,
    "lapsed": NONE,
    "superseded": NONE,
}
CELLS = [
    (Consent(row), event, cell)
    for row, cells in TABLE.items()
    for event, cell in zip(COLUMNS, cells.split(), strict=True)
]


def test_the_table_has_every_state_and_every_event():
    assert {consent for consent, _, _ in CELLS} == set(Consent)
    assert set(COLUMNS) == set(Event)
    assert len(CELLS) == len(Consent) * len(Event)


@pytest.mark.parametrize(("consent", "event", "cell"), CELLS)
def test_each_cell(consent, event, cell):
    if cell != "-":
        assert advance(consent, event) is Consent(cell)
        return
    with pytest.raises(Refused) as refused:
        advance(consent, event)
    assert refused.value.rule == f"consent-is-{consent.value}"
    assert event.value in str(refused.value)


def test_what_has_ended_stays_ended():
    for consent, event in itertools.product(ENDED, Event):
        with pytest.raises(Refused):
            advance(consent, event)


@given(st.lists(st.sampled_from(list(Event)), max_size=12))
def test_only_an_officers_act_brings_a_consent_into_force(events):
    consent = Consent.PROPOSED
    for event in events:
        try:
            after = advance(consent, event)
        except Refused:
            continue
        if after is Consent.IN_FORCE:
            assert event in {Event.SIGNED, Event.RESUMED}
        consent = after


@pytest.mark.parametrize("consent", Consent)
def test_nothing_but_in_force_permits_and_only_before_until(consent):
    second = timedelta(seconds=1)
    assert in_force_at(consent, NOW + second, NOW) is (consent is Consent.IN_FORCE)
    assert not in_force_at(consent, NOW, NOW)
    assert not in_force_at(consent, NOW - second, NOW)


@pytest.mark.parametrize("consent", Consent)
def test_time_lapses_what_has_not_ended_at_the_second_it_is_due(consent):
    assert at(consent, NOW + timedelta(microseconds=1), NOW) is consent
    expected = consent if consent in ENDED else Consent.LAPSED
    assert at(consent, NOW, NOW) is expected


def test_suspended_is_neither_in_force_nor_ended():
    assert not SUSPENDED & ENDED
    assert Consent.IN_FORCE not in SUSPENDED | ENDED
    assert SUSPENDED | ENDED | {Consent.PROPOSED, Consent.IN_FORCE} == set(Consent)
