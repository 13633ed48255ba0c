"""From which round a site took part, and since when again."""

from __future__ import annotations

from admission import closed_round, digest

from governance.ledger import query_members


def told(federation, **asked):
    answer = query_members.members(federation.connection, **asked)
    return answer.named()


def of(federation, site):
    return told(federation, site=site)


def run(federation, round_, sites):
    closed_round(federation, round_, sites=sites, models=f"m{round_ - 1} m{round_}")


def pause(federation, site):
    return federation.agent(site, "consent-suspended", {"agreement": digest("first")})


def resume(federation, site):
    body = {"agreement": digest("first"), "material": digest("first")}
    return federation.officer(site, "consent-resumed", body)


def test_a_site_joins_with_the_first_round_that_asked_it(agreed):
    run(agreed, 1, ("amc",))
    run(agreed, 2, ("amc", "ucl"))
    (ucl,) = of(agreed, "ucl")
    assert (ucl["how"], ucl["from_round"], ucl["because"]) == ("joined", 2, "consent-given")
    assert (ucl["to_round"], ucl["rounds"], ucl["ended_by"]) == (2, 1, None)


def test_a_site_that_paused_comes_back_with_the_round_after_it_resumed(agreed):
    run(agreed, 1, ("amc", "ucl"))
    paused = pause(agreed, "ucl")
    run(agreed, 2, ("amc",))
    resumed = resume(agreed, "ucl")
    run(agreed, 3, ("amc", "ucl"))
    before, after = of(agreed, "ucl")
    assert (before["to_round"], before["ended_by"]) == (1, "consent-suspended")
    assert before["ended_seq"] == paused
    assert (after["how"], after["from_round"]) == ("came-back", 3)
    assert (after["because"], after["because_seq"]) == ("consent-resumed", resumed)
    assert [row["how"] for row in of(agreed, "amc")] == ["joined"]


def test_a_site_whose_line_was_down_for_a_round_has_not_left(agreed):
    run(agreed, 1, ("amc", "ucl"))
    run(agreed, 2, ("amc",))
    run(agreed, 3, ("amc", "ucl"))
    (ucl,) = of(agreed, "ucl")
    assert (ucl["from_round"], ucl["to_round"], ucl["rounds"]) == (1, 3, 2)


def test_attempts_of_one_round_count_once(agreed):
    agreed.open_round(1)
    agreed.abandon(1)
    agreed.open_round(1, 2)
    assert [row["rounds"] for row in of(agreed, "amc")] == [1]


def test_a_site_that_no_round_has_asked_is_enrolled_and_no_more(federation):
    (amc, ucl) = told(federation)
    assert {amc["how"], ucl["how"]} == {"enrolled"}
    assert (amc["from_round"], amc["because"], amc["rounds"]) == (None, "enrolled", 0)


def test_a_site_that_there_is_not_has_no_row(agreed):
    assert of(agreed, "nobody") == []
