"""Appending, reading, proving."""

from __future__ import annotations

from governance.ledger import store


def test_a_whole_round_is_recorded(agreed):
    agreed.open_round(1)
    for site in ("amc", "ucl"):
        agreed.reserve(site, 1)
        agreed.contribute(site, 1)
    agreed.close(1)
    c = agreed.connection
    records = list(store.entries(c, 0, 1000))
    assert [record.seq for record in records] == list(range(store.size_of(c)))
