"""Statistics of patients in the log: paid for one by one, combined once, of who consents."""

from __future__ import annotations

import pytest
from admission import digest, refused

from governance import normalisation, statements
from governance.ledger import project_statistics, queries, query_privacy
from governance.normalisation import GRID, Released
from governance.privacy.accountant import epsilon
from governance.privacy.releases import Release

RANGES = {"age": ("18", "118")}


@pytest.fixture
def opened(agreed):
    agreed.open_round(1)
    return agreed


def disclosed(site, number=1):
    made = Released("30", (GRID * 100 * number, GRID * 9, GRID * -40))
    text = normalisation.to_json(made)
    salt = digest(f"{site} {number}").encode()[:32]
    return statements.disclose("statistics", text, salt=salt)


def pay(federation, site, **changes):
    said = {"task": f"heart/1/1/measure/{digest(str(changes))[:4]}", "purpose": "statistics"}
    body = federation.metrics_body(1, **{"clip": "1.5", **said, **changes})
    return federation.agent(site, "budget-reserved", body)


def release(federation, site, number=1, basis="basis"):
    body = {**federation.at(1), "basis": digest(basis), "mechanism": "gaussian"}
    told = disclosed(site, number)
    return federation.agent(site, "statistics-released", body, told=(told,))


def body_of(federation, *sites, basis="basis"):
    told = [disclosed(site) for site in sites]
    made = [normalisation.parse(one.value) for one in told]
    scales = normalisation.combined_in(made, RANGES) if made else {}
    return {
        **federation.at(1),
        "basis": digest(basis),
        "released": [statements.commitment(one) for one in told],
        "sites": sorted(sites),
        "values": {name: one.to_json() for name, one in scales.items()},
    }


def combine(federation, *sites, **changes):
    return federation.coordinator(
        "statistics-combined", {**body_of(federation, *sites), **changes}
    )


@pytest.fixture
def released(opened):
    for site in ("amc", "ucl"):
        pay(opened, site)
        release(opened, site)
    return opened


def test_statistics_are_paid_for_each_by_a_reservation_of_its_own(opened):
    refused("no-reservation", release, opened, "amc")
    opened.agent("amc", "budget-reserved", opened.metrics_body(1))
    refused("no-reservation", release, opened, "amc")
    pay(opened, "amc")
    release(opened, "amc")
    refused("no-reservation", release, opened, "amc", 2)
    release(opened, "amc")  # the same once more
    pay(opened, "amc", noise_multiplier="8")
    release(opened, "amc", 2)


def test_another_hospitals_reservation_pays_for_nothing(opened):
    pay(opened, "ucl")
    refused("no-reservation", release, opened, "amc")


def test_who_withdrew_says_no_statistics(opened):
    pay(opened, "amc")
    opened.agent("amc", "consent-withdrawn", {"agreement": digest("first")})
    refused("no-consent", release, opened, "amc")


def test_statistics_are_combined_once_of_what_each_hospital_said(released):
    for wrong in (
        body_of(released),
        body_of(released, "amc", "ucl") | {"sites": ["amc"]},
        body_of(released, "amc") | {"sites": ["ucl"]},
        body_of(released, "amc") | {"released": [digest("invented")]},
        body_of(released, "amc", "ucl", basis="another"),
    ):
        refused("statistics-invented", released.coordinator, "statistics-combined", wrong)
    combine(released, "amc", "ucl")
    assert project_statistics.combined(released.connection, digest("basis")) is not None
    refused("combined-twice", combine, released, "amc")


def test_statistics_are_combined_in_an_open_round(released):
    body = {**released.at(1), "reason": "deadline", "sites_in": [], "sites_out": {}}
    released.coordinator("round-abandoned", body)
    refused("round-over", combine, released, "amc", "ucl")


def test_who_withdrew_is_not_combined(released):
    released.agent("amc", "consent-withdrawn", {"agreement": digest("first")})
    refused("no-consent", combine, released, "amc", "ucl")
    combine(released, "ucl")


@pytest.mark.parametrize("value", ["NaN", "1e5", "", 5, "--1"])
def test_a_scale_is_made_of_decimals(released, value):
    body = body_of(released, "amc")
    body["values"]["age"]["mean"] = value
    refused("bad-body", released.coordinator, "statistics-combined", body)


def test_spending_tells_statistics_apart_in_one_figure_of_all(released):
    answer = queries.spent(released.connection, site="amc")
    row = dict(zip(answer.columns, answer.rows[0], strict=True))
    expected = epsilon([Release(1.0, 9.0, 1)], 1e-5)
    assert float(row["statistics"]) == pytest.approx(expected, abs=1e-3)
    assert float(row["epsilon"]) == pytest.approx(expected, abs=1e-3)
    assert "Training" not in answer.notes[1] or "statistics" in answer.notes[1]


def test_the_answer_names_mechanism_and_epsilon_and_shows_who_said_it_again(released):
    release(released, "amc")
    answer = query_privacy.statistics(released.connection, site="amc")
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    assert [row["what"] for row in rows] == ["sums for normalisation"] * 2
    assert len({row["reservation_seq"] for row in rows}) == 1
    assert {row["noise_multiplier"] for row in rows} == {"9"}
