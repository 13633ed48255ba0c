"""The hospital's law, rule by rule: what is broken is refused by that rule's name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hospital import SITE

from governance.consent import Consent
from governance.settings import SitePolicy
from protos.errors import Refused
from protos.words import BlobRef, Digest, Task, TaskId, TaskKind
from site_agent.acceptance import Law, check_terms
from site_agent.policy import (
    Asked,
    Moment,
    Standing,
    cap_of,
    check_moment,
    largest_file,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def law(charite, **policy):
    terms = charite.settings.policy.model_dump(by_alias=True) | policy
    isolation = terms.pop("isolation", "none")
    text = {"5GiB": 5 << 30}
    assert text
    return Law(SITE, SitePolicy.model_validate(_as_written(terms)), isolation)


def _as_written(terms):
    """Durations and sizes as a file has them."""
    terms = dict(terms)
    terms["witness_lag"] = "24h"
    if isinstance(terms.get("bytes_per_day"), int):
        terms["bytes_per_day"] = f"{terms['bytes_per_day']}B"
    return terms


def refused(rule, check, *args):
    with pytest.raises(Refused) as told:
        check(*args)
    assert told.value.rule == rule, told.value


# --- what an agreement says ------------------------------------------------------------------


def test_a_sound_agreement_passes(charite):
    check_terms(charite.document(), law(charite))


def test_an_agreement_without_this_hospital_is_refused(charite):
    refused(
        "not-in-roster",
        check_terms,
        charite.document(roster=("amc", "ucl", "kth")),
        law(charite),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"privacy": "off", "round__local": {"steps": 4, "batch": 10}},
        {"privacy__noise_multiplier": 0},
        {"privacy__noise_seed": 7},
    ],
)
def test_unsafe_terms_are_refused_unless_the_hospital_lists_each(charite, changes):
    from governance.agreement.schema import unsafe_terms

    document = charite.document(**changes)
    refused("unsafe-terms", check_terms, document, law(charite))
    listed = (*charite.settings.policy.unsafe, *unsafe_terms(document.agreement))
    check_terms(document, law(charite, unsafe=tuple(set(listed))))


def test_exact_figures_of_small_classes_are_unsafe(charite):
    refused(
        "unsafe-terms", check_terms, charite.document(), law(charite, unsafe=("no-isolation",))
    )


def test_a_hospital_that_demands_masks_refuses_an_agreement_without(charite):
    strict = law(charite, require_secure_aggregation=True)
    refused("secure-aggregation-required", check_terms, charite.document(), strict)


def test_a_hospital_that_demands_masks_takes_an_agreement_with_them(charite):
    strict = law(charite, require_secure_aggregation=True)
    check_terms(charite.document(aggregation__secure=True), strict)


def test_every_purpose_must_be_allowed(charite):
    document = charite.document(purpose=["DUO:0000006", "DUO:0000042"])
    refused("purpose-not-allowed", check_terms, document, law(charite))


def test_a_model_that_nobody_approved_is_refused(charite):
    document = charite.document(model={"name": "mlp", "hidden": [4], "seed": 1})
    refused("model-not-approved", check_terms, document, law(charite))


def test_too_few_hospitals_in_a_sum_are_refused(charite):
    document = charite.document(sites__close_at_least=2)
    refused("minimum-sites", check_terms, document, law(charite))


def test_required_confinement_needs_nothing_to_be_listed_as_unsafe(charite):
    check_terms(
        charite.document(),
        law(charite, isolation="required", unsafe=("exact-small-classes",)),
    )


def test_no_confinement_must_be_listed_as_unsafe(charite):
    tight = law(charite, unsafe=("exact-small-classes",))
    refused("no-isolation", check_terms, charite.document(), tight)


# --- what holds now --------------------------------------------------------------------------


@pytest.fixture
def asked(charite):
    """Return a maker of a task that passes, but for what is changed."""
    kept = charite.document()

    def one(
        *,
        document=kept,
        kind=TaskKind.TRAIN,
        standing=None,
        deadline=NOON + timedelta(hours=1),
        place=(2, 1),
        policy=(),
        **moment,
    ):
        task = Task(
            TaskId("hearts/2/1/train"),
            kind,
            *place,
            document.digest,
            BlobRef(Digest("0" * 64), 1000),
            None,
            deadline,
        )
        good = Standing(
            Consent.IN_FORCE,
            agreement=document.digest,
            material=document.material,
            until=NOON + timedelta(days=30),
            cap=6.0,
            delta=1e-5,
            declared_patients=60,
            cohort="patients",
        )
        facts = {
            "now": NOON,
            "skew": timedelta(seconds=2),
            "alarm": "",
            "standing": standing(good) if standing else good,
            "in_force": True,
            "newest": (1, 3),
            "data_fault": "",
            "cohort": "patients",
            "bytes_today": 0,
            "bytes_next": 1000,
        }
        return Asked(task, document, Moment(**facts | moment), law(charite, **dict(policy)))

    return one


def with_(**changes):
    from dataclasses import replace

    return lambda good: replace(good, **changes)


def test_a_sound_task_passes(asked):
    check_moment(asked())


def test_an_alarm_stops_every_task(asked):
    refused("integrity-alarm", check_moment, asked(alarm="history-differs"))


def test_no_task_while_who_left_is_in_a_model_that_was_to_be_rid_of_them(charite, asked):
    back = charite.document(exits={"training": "retrain-from-before"})
    left = {"document": back, "inside": frozenset({"amc"})}
    refused("exit-not-retrained", check_moment, asked(**left))
    check_moment(asked(document=back))


def test_training_goes_on_with_who_left_inside_where_the_agreement_says_so(asked):
    check_moment(asked(inside=frozenset({"amc"})))


@pytest.mark.parametrize("state", [s for s in Consent if s is not Consent.IN_FORCE])
def test_a_site_without_consent_never_takes_a_task(asked, state):
    refused("no-consent", check_moment, asked(standing=with_(state=state)))


def test_a_consent_that_nobody_gave_is_none(asked):
    refused("no-consent", check_moment, asked(standing=lambda _: Standing(Consent.IN_FORCE)))


def test_a_consent_to_other_bytes_is_none(asked):
    refused("no-consent", check_moment, asked(standing=with_(agreement="f" * 64)))
    refused("no-consent", check_moment, asked(standing=with_(material="f" * 64)))


def test_a_consent_ends_at_the_very_moment(asked):
    refused("no-consent", check_moment, asked(standing=with_(until=NOON)))
    check_moment(asked(standing=with_(until=NOON + timedelta(microseconds=1))))


def test_no_task_under_an_agreement_that_is_not_in_force(asked):
    refused("agreement-not-in-force", check_moment, asked(in_force=False))


def test_no_task_outside_the_agreements_time(asked):
    later = datetime(2100, 1, 1, tzinfo=UTC)
    long = with_(until=later + timedelta(days=1))
    case = asked(now=later, standing=long, deadline=later + timedelta(hours=1))
    refused("agreement-not-valid", check_moment, case)


@pytest.mark.parametrize("skew", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_clocks_that_differ_by_more_than_five_minutes_stop_tasks(asked, skew):
    refused("clock-skew", check_moment, asked(skew=skew))


def test_a_task_is_not_begun_after_its_deadline(asked):
    refused("deadline-passed", check_moment, asked(deadline=NOON))


@pytest.mark.parametrize("place", [(1, 3), (1, 2), (1, 1)])
def test_a_round_that_is_not_newer_is_refused(asked, place):
    refused("not-newer", check_moment, asked(place=place))


@pytest.mark.parametrize("place", [(1, 4), (2, 1)])
def test_a_newer_attempt_or_round_passes(asked, place):
    check_moment(asked(place=place))


def test_quiet_hours_are_quiet(asked):
    hours = {"days": ["sat"], "from": "11:00", "to": "13:00", "zone": "UTC"}
    refused("quiet-hours", check_moment, asked(policy={"quiet_hours": hours}))
    past = asked(policy={"quiet_hours": hours}, deadline=NOON + MINUTE * 120)
    refused("quiet-hours", check_moment, past)
    check_moment(asked(policy={"quiet_hours": hours | {"from": "10:00", "to": "12:00"}}))


def test_training_that_would_be_due_in_quiet_hours_is_refused(asked):
    hours = {"days": ["sat"], "from": "12:05", "to": "13:00", "zone": "UTC"}
    policy = {"quiet_hours": hours}
    refused("quiet-hours", check_moment, asked(policy=policy, deadline=NOON + MINUTE * 6))
    refused("quiet-hours", check_moment, asked(policy=policy, deadline=NOON + MINUTE * 60))
    check_moment(asked(policy=policy, deadline=NOON + MINUTE * 5))
    check_moment(asked(policy=policy, deadline=NOON + MINUTE * 61))


def test_figures_are_asked_for_up_to_the_edge_of_quiet_hours(asked):
    hours = {"days": ["sat"], "from": "12:05", "to": "13:00", "zone": "UTC"}
    task = {"kind": TaskKind.EVALUATE, "deadline": NOON + MINUTE * 30}
    check_moment(asked(policy={"quiet_hours": hours}, **task))
    within = {"quiet_hours": hours | {"from": "11:00"}}
    refused("quiet-hours", check_moment, asked(policy=within, **task))


def test_quiet_hours_are_those_of_their_zone(asked):
    hours = {"days": ["sat"], "from": "13:00", "to": "14:00", "zone": "Europe/Berlin"}
    refused("quiet-hours", check_moment, asked(policy={"quiet_hours": hours}))


def test_data_that_breaks_the_contract_does_not_train(asked):
    refused("data-contract", check_moment, asked(data_fault="one, died"))


def test_another_cohort_than_the_officer_signed_for_does_not_train(asked):
    refused("other-cohort", check_moment, asked(cohort="children"))


def test_the_days_bytes_are_counted(asked):
    limit = {"bytes_per_day": 1500}
    check_moment(asked(policy=limit, bytes_today=500))
    refused("bytes-per-day", check_moment, asked(policy=limit, bytes_today=501))


@pytest.mark.parametrize("field", ["model", "state"])
def test_a_file_larger_than_the_model_can_be_is_not_fetched(asked, field):
    from dataclasses import replace

    def with_size(size):
        sound = asked()
        blob = BlobRef(Digest("1" * 64), size)
        return replace(sound, task=replace(sound.task, **{field: blob}))

    most = largest_file(asked().document.agreement)
    check_moment(with_size(most))
    refused("file-too-large", check_moment, with_size(most + 1))
    refused("file-too-large", check_moment, with_size(1 << 40))


# --- caps ------------------------------------------------------------------------------------


def test_the_lower_cap_counts(charite):
    agreement = charite.document().agreement
    assert cap_of(agreement, law(charite).policy) == (6.0, 1e-5)
    own = law(charite, cap={"epsilon": 2.0, "delta": 1e-6}).policy
    assert cap_of(agreement, own) == (2.0, 1e-6)


def test_without_noise_no_cap_holds(charite):
    document = charite.document(privacy__noise_multiplier=0)
    assert cap_of(document.agreement, law(charite).policy)[0] == float("inf")
