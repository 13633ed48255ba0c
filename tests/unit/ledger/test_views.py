"""Views for auditors' own tools: columns that stay, times beside, and no disclosed value."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from governance.ledger import granting, schema, views


def columns(connection, view):
    return {column["name"] for column in inspect(connection).get_columns(view)}


def test_each_table_of_state_has_a_view_with_times(agreed):
    agreed.open_round(1)
    (row,) = agreed.connection.execute(text("SELECT * FROM audit_rounds")).mappings()
    assert (row["round"], row["state"], row["ended_at"]) == (1, "open", None)
    assert row["opened_at"].startswith("2026-11-21T09:")


def test_who_was_revoked_stands_beside_the_certificates(agreed):
    agreed.certify("amc", "site", "01")
    agreed.certify("ucl", "site", "02")
    revoked = agreed.operator("revoked", {"name": "amc", "serials": ["01"]})
    rows = agreed.connection.execute(text("SELECT name, revoked_seq FROM audit_certificates"))
    assert dict(map(tuple, rows)) == {"amc": revoked, "ucl": None}


def test_a_view_shows_no_salt_no_envelope_and_disclosed_values_in_one_place_alone(agreed):
    for name in views.VIEWS:
        shown = columns(agreed.connection, name)
        assert not shown & {"salt", "envelope", "leaf_hash"}
        assert ("value" in shown) == (name == views.DISCLOSED)


def test_views_are_made_once_and_left_alone(agreed):
    views.make(agreed.connection)
    assert set(inspect(agreed.connection).get_view_names()) == set(views.VIEWS)


def test_the_coordinators_role_may_never_change_what_is_only_added_to():
    said = granting.grants("concilium")
    assert said[-1] == (
        "REVOKE UPDATE, DELETE, TRUNCATE ON entries, nodes, checkpoints, cosignatures "
        "FROM concilium"
    )


@pytest.mark.parametrize("disclosures", [False, True])
def test_an_auditors_role_reads_disclosures_only_when_it_is_said(disclosures):
    read = granting.grants("app", auditor="regulator", disclosures=disclosures)[-1]
    assert (views.DISCLOSED in read) == disclosures
    assert (f" {schema.disclosures.name}" in read) == disclosures


def test_a_roles_name_is_quoted():
    assert 'TO "Drop; Table"' in granting.grants("Drop; Table")[0]


def test_an_exit_is_in_a_view_with_its_times(agreed):
    seq = agreed.officer(
        "amc", "exit-requested", {"site": "amc", "scope": "federation", "cause": "own-wish"}
    )
    (row,) = agreed.connection.execute(text("SELECT * FROM audit_exits")).mappings()
    assert (row["seq"], row["site"], row["state"]) == (seq, "amc", "requested")
    assert row["asked_at"] == row["changed_at"] != ""
    for view in ("audit_exit_steps", "audit_exit_releases"):
        assert agreed.connection.execute(text(f"SELECT * FROM {view}")).all() == []
