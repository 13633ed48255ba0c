"""A hospital that is bound to refuse is not counted on, so that it costs the others nothing."""

from __future__ import annotations

RULE = "secure-aggregation-required"
ALL = {"sites.close_at_least": 3, "round.attempts": 9}


async def refused_once(fed, rule):
    """Let one of three hospitals, all of which are needed, refuse its task."""
    await fed.in_force(changes=ALL)
    tasks = await fed.tasks()
    await fed.site("amc").refuse(tasks["amc"], rule=rule)
    await fed.until(lambda: fed.rounds()[0][2] == "abandoned")


async def test_no_attempt_follows_a_refusal_that_lasts(fed):
    await refused_once(fed, RULE)
    report = await fed.status()
    assert fed.rounds() == [(1, 1, "abandoned", "too-few-sites")]
    assert f"2 of 3; amc refuses ({RULE})" in report.state
    (amc,) = (site for site in report.sites if site.name == "amc")
    assert amc.waiting_for == f"its administrator: it refuses tasks ({RULE})"


async def test_a_refusal_that_passes_is_tried_again(fed):
    await refused_once(fed, "quiet-hours")
    await fed.tasks(attempt=2)


async def test_a_hospital_that_comes_back_is_asked_again(fed):
    await refused_once(fed, RULE)
    amc = fed.site("amc")
    await amc.cut()
    await amc.connect()
    await fed.tasks(attempt=2)
