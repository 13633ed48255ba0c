"""A plan says what an agreement means and costs, and refuses by name what cannot be."""

from __future__ import annotations

import re

import pytest

from governance.agreement.load import load, parse
from governance.agreement.plan import plan
from governance.privacy.accountant import epsilon, noise_for, rounds_within
from governance.privacy.releases import Release
from protos.errors import Refused

FEDPROX = ("name: scaffold, server_rate: 1.0", "name: fedprox, mu: 12")


def _refusal(path):
    with pytest.raises(Refused) as caught:
        plan(load(path))
    return caught.value


def test_designs_agreement_passes_without_a_warning(agreement_file):
    made = plan(load(agreement_file))
    assert made.warnings == ()
    assert made.unsafe == frozenset()
    assert made.changes == ()
    assert not made.is_draft


def test_figures_by_subgroup_are_among_what_leaves_where_they_are_agreed_on(
    agreement_file, changed
):
    said = plan(load(agreement_file)).text().replace("\n    ", " ")
    assert "the same figures by subgroup (age_band, sex), for the card" in said
    assert "A group with fewer than 10 patients of a class is withheld" in said
    without = changed(("  subgroups: [sex, age_band]", "  # no subgroups"))
    assert "subgroup" not in plan(load(without)).text()


def test_epsilon_is_the_accountants_over_all_rounds(agreement_file):
    made = plan(load(agreement_file))
    assert (
        made.epsilon
        == epsilon([Release(0.05, 1.25, 800)], 1e-5)
        == pytest.approx(6.5054, abs=1e-3)
    )
    assert made.epsilon_per_round == epsilon([Release(0.05, 1.25, 20)], 1e-5)
    assert (
        "ε = 6.51 at δ = 0.00001 for each patient, over all 40 rounds"
        in made.text().replace("\n    ", " ")
    )


def test_spare_rounds_are_those_that_the_budget_still_bears(agreement_file):
    spare = plan(load(agreement_file)).spare_rounds
    one = Release(0.05, 1.25, 20)
    assert spare == rounds_within(one, already=[one.times(40)], cap=8.0, delta=1e-5)
    assert epsilon([one.times(40 + spare)], 1e-5) <= 8 < epsilon([one.times(41 + spare)], 1e-5)


def test_going_back_after_an_exit_is_said_with_its_price_and_the_last_round_it_is_borne(
    changed,
):
    made = plan(load(changed(("training: continue", "training: retrain-from-before"))))
    one = Release(0.05, 1.25, 20)
    said = " ".join(made.sections["exits"])
    for k in (1, 20, 40):
        whole = epsilon([one.times(40 + k)], 1e-5)
        assert f"ε {whole:.2f} after an exit in round {k}" in said
    last = made.spare_rounds
    assert epsilon([one.times(40 + last)], 1e-5) <= 8 < epsilon([one.times(41 + last)], 1e-5)
    assert f"bear that up to an exit in round {last}" in said
    assert "the federation pauses and asks" in said


def test_a_budget_that_bears_no_going_back_is_said(changed):
    path = changed(
        ("training: continue", "training: retrain-from-before"),
        ("budget: {epsilon: 8.0}", "budget: {epsilon: 6.51}"),
    )
    assert "bear that after no exit at all" in " ".join(plan(load(path)).sections["exits"])


def test_target_gives_the_noise_that_reaches_it(changed):
    document = load(changed(("noise_multiplier: 1.25", "target: {epsilon: 3.0}")))
    made = plan(document)
    assert made.epsilon is not None
    assert 2.9 < made.epsilon <= 3.0
    assert f"The noise multiplier {document.agreement.sigma:g} is computed" in made.text()


def test_target_that_no_noise_reaches_is_refused(changed):
    refusal = _refusal(
        changed(
            ("noise_multiplier: 1.25", "target: {epsilon: 0.00001}"),
            ("sampling_rate: 0.05", "sampling_rate: 1"),
            ("rounds: 40", "rounds: 4000"),
        )
    )
    assert refusal.rule == "unfittable-target"
    said = str(refusal)
    assert "privacy.target.epsilon (line 62) is 0.00001, but no noise keeps schedule" in said
    assert "schedule.rounds (line 33) = 4000, with round.local.steps (line 42) = 20" in said
    assert "privacy.delta (line 63) = 0.00001" in said
    assert "The lowest possible in so many is ε = " in said
    assert "this target bears 0 rounds" in said


def test_a_target_that_is_refused_says_how_many_rounds_it_would_bear(changed):
    refusal = _refusal(changed(("noise_multiplier: 1.25", "target: {epsilon: 0.003}")))
    bears = rounds_within(Release(0.05, 1000.0, 20), cap=0.003, delta=1e-5)
    assert 0 < bears < 40
    assert f"this target bears {bears} rounds" in str(refusal)


def test_schedule_over_the_budget_is_refused_with_both_lines_and_what_fits(changed):
    refusal = _refusal(changed(("budget: {epsilon: 8.0}", "budget: {epsilon: 5.0}")))
    assert refusal.rule == "budget-too-small"
    said = str(refusal)
    assert "schedule.rounds (line 33) is 40" in said
    assert "round.local.steps (line 42) 20" in said
    assert "cost ε = 6.51, but privacy.budget.epsilon (line 64) is 5" in said
    fits = rounds_within(Release(0.05, 1.25, 20), cap=5.0, delta=1e-5)
    assert f"The budget bears {fits} rounds" in said
    fitting = noise_for(5.0, sampling_rate=0.05, steps=800, delta=1e-5)
    assert f"a noise multiplier of {fitting:g} makes room for all 40" in said


def test_a_budget_that_no_noise_fits_asks_for_fewer_rounds(changed):
    refusal = _refusal(changed(("budget: {epsilon: 8.0}", "budget: {epsilon: 0.00001}")))
    assert "no noise makes room for all, so plan fewer rounds or steps" in str(refusal)


def test_draw_is_said_and_costs_as_if_a_hospital_were_always_drawn(changed):
    every = plan(load(changed(("per_round: all ", "per_round: all "))))
    some = plan(load(changed(("per_round: all", "per_round: 4"))))
    assert some.epsilon == every.epsilon
    said = some.text().replace("\n    ", " ")
    assert "In each round 4 of those ready take part, drawn by a seed" in said
    assert "drawn" not in every.text().partition("What it costs")[0]


@pytest.mark.parametrize(
    ("pairs", "path", "value"),
    [
        ([("local_baseline: false", "local_baseline: true")], "privacy.local_baseline", "true"),
        ([("name: scaffold, server_rate: 1.0", "name: fedadam")], "strategy.name", "fedadam"),
        ([("name: scaffold, server_rate: 1.0", "name: krum")], "strategy.name", "krum"),
        (
            [("name: sgd", "name: adam"), ("name: scaffold, server_rate: 1.0", "name: fedavg")],
            "optimizer.name",
            "adam",
        ),
    ],
)
def test_what_is_not_built_is_refused_by_name(changed, pairs, path, value):
    refusal = _refusal(changed(*pairs))
    assert refusal.rule == "not-built"
    assert f"{path} is {value}, which is not built yet" in str(refusal)
    assert "agreement.yaml:" in str(refusal)


@pytest.mark.parametrize(
    ("pairs", "both"),
    [
        (
            [("late: discard ", "late: next-round ")],
            ("aggregation.secure (line 69)", "round.late (line 41)"),
        ),
        (
            [
                ("late: discard ", "late: next-round "),
                ("compression: {name: none}", "compression: {name: random-k, keep: 0.02}"),
            ],
            ("aggregation.compression.name (line 72)", "round.late (line 41)"),
        ),
        (
            [("name: scaffold, server_rate: 1.0", "name: median")],
            ("aggregation.secure (line 69)", "strategy.name (line 57)"),
        ),
        (
            [("close_at_least: 4", "close_at_least: 3")],
            ("aggregation.secure (line 69)", "sites.close_at_least (line 24)"),
        ),
    ],
)
def test_combinations_that_masks_rule_out_name_both_lines(changed, pairs, both):
    said = str(_refusal(changed(("secure: false", "secure: true"), *pairs)))
    assert " and ".join(both) in said


def test_late_updates_that_count_in_the_next_round_are_said(changed):
    said = plan(load(changed(("late: discard ", "late: next-round ")))).text()
    assert "a late update counts in the next round, in place of" in said.replace("\n    ", " ")


def test_masks_among_two_hospitals_hide_nobody(changed, agreement_text):
    start, end = agreement_text.index("    ucl:"), agreement_text.index("  ready_at_least")
    path = changed(
        (agreement_text[start:end], ""),
        ("ready_at_least: 4", "ready_at_least: 2"),
        ("close_at_least: 4", "close_at_least: 2"),
        ("secure: false", "secure: true"),
    )
    assert "among fewer than 3 hospitals a sum hides nobody" in str(_refusal(path))


def test_scaffold_with_momentum_is_refused_with_both_lines(changed):
    refusal = _refusal(changed(("rate: 0.1}", "rate: 0.1, momentum: 0.9}")))
    assert refusal.rule == "refused-combination"
    assert "strategy.name (line 57) and optimizer.momentum (line 58)" in str(refusal)


def test_scaffold_with_adam_is_refused_with_both_lines(changed):
    said = str(_refusal(changed(("name: sgd", "name: adam"))))
    assert "strategy.name (line 57) and optimizer.name (line 58) do not go together" in said


def test_fedprox_that_overshoots_is_refused_with_the_valid_range(changed):
    refusal = _refusal(changed(FEDPROX))
    assert refusal.rule == "step-overshoots"
    assert str(refusal).endswith(
        ":57:31: strategy.mu (line 57) is 12, but must be between 0 and 1/rate = 10, because "
        "optimizer.rate (line 58) is 0.1\n"
        "  With a larger one FedProx overshoots the global model."
    )


def test_fedprox_at_the_edge_passes(changed):
    assert plan(load(changed((FEDPROX[0], "name: fedprox, mu: 10"))))


def test_batch_norm_is_refused_and_group_norm_offered(changed):
    refusal = _refusal(changed(("norm: group", "norm: batch")))
    assert refusal.rule == "model-not-trainable"
    assert "norm: group" in str(refusal)


def test_unknown_model_is_refused_naming_those_known(changed):
    refusal = _refusal(changed(("name: mlp", "name: cnn")))
    assert refusal.rule == "model-not-trainable"
    assert "linear, mlp" in str(refusal)


def test_gate_below_twice_its_standard_error_is_refused(changed):
    refusal = _refusal(changed(("not_worse_than: 0.05", "not_worse_than: 0.02")))
    assert refusal.rule == "gate-below-noise"
    assert "must be at least 0.033" in str(refusal)
    assert "Or raise data.minimum_patients (line 47) to" in str(refusal)


def test_gate_passes_with_the_patients_that_its_refusal_names(changed):
    gate = ("not_worse_than: 0.05", "not_worse_than: 0.02")
    needed = str(_refusal(changed(gate))).rsplit(" ", 1)[1].rstrip(".")
    assert plan(load(changed(gate, ("minimum_patients: 2000", f"minimum_patients: {needed}"))))


def test_stop_that_a_guess_reaches_is_refused(changed):
    refusal = _refusal(changed(("reached: 0.92", "reached: 0.52")))
    assert refusal.rule == "gate-below-noise"
    assert "schedule.stop.reached (line 35) is 0.52" in str(refusal)


def test_deadline_longer_than_the_window_is_refused(changed):
    refusal = _refusal(changed(("deadline: 2h", "deadline: 11h")))
    assert refusal.rule == "window-too-short"
    assert "open for 10h at a time" in str(refusal)


def test_everything_refused_is_said_at_once(changed):
    refusal = _refusal(
        changed(
            ("name: sgd", "name: adam"),
            ("budget: {epsilon: 8.0}", "budget: {epsilon: 5.0}"),
            ("norm: group", "norm: batch"),
        )
    )
    said = str(refusal)
    assert refusal.rule == "agreement-refused"
    assert all(word in said for word in ("optimizer.name", "privacy.budget", "norm: group"))


@pytest.mark.parametrize(
    ("pairs", "term", "shouted"),
    [
        ([("noise_multiplier: 1.25", "noise_multiplier: 0")], "no-noise", "there is no noise"),
        ([("clip: 1.0", "noise_seed: 7\n  clip: 1.0")], "fixed-noise-seed", "fixed seed"),
        ([("minimum: 10", "minimum: 3")], "exact-small-classes", "few patients"),
    ],
)
def test_unsafe_terms_are_shouted(changed, pairs, term, shouted):
    made = plan(load(changed(*pairs)))
    assert made.unsafe == {term}
    first = made.text().split("\n\n")[0].replace("\n  ", " ")
    assert first.startswith(f"UNSAFE ({term}): ")
    assert shouted in first


def test_privacy_off_is_unsafe_and_no_epsilon_is_stated(changed, agreement_text):
    start, end = agreement_text.index("privacy:   "), agreement_text.index("aggregation:  ")
    path = changed(
        (agreement_text[start:end], "privacy: off\n"),
        ("steps: 20, sampling_rate: 0.05", "epochs: 1, batch: 32"),
    )
    made = plan(load(path))
    assert made.unsafe == {"no-privacy"}
    assert made.epsilon is None
    assert made.sections["privacy"] == ("No ε can be stated.",)
    assert "without noise" in made.text()


def test_what_a_change_would_ask_is_said_by_its_class_and_with_the_notice(changed):
    said = plan(load(changed(("notice: 14d", "notice: 9d")))).text().replace("\n    ", " ")
    assert "take force 9d after they are proposed, and a hospital that objects" in said
    assert "any other change asks every hospital for its consent anew" in said


def test_draft_is_planned_and_said_to_be_one(changed):
    made = plan(load(changed((f"charite: ed25519:{1:064x}", "charite:"))))
    assert made.is_draft
    assert "this is a draft" in made.warnings[0]


def test_budget_that_bears_no_lost_round_is_a_warning(changed):
    made = plan(load(changed(("budget: {epsilon: 8.0}", "budget: {epsilon: 6.55}"))))
    assert made.spare_rounds == 0
    assert any("no lost round" in warning for warning in made.warnings)


def test_changes_stand_at_the_end_with_their_class(changed, agreement_file):
    after = load(
        changed(("deadline: 2h", "deadline: 3h"), ("clip: 1.0", "clip: 2"), name="b.yaml")
    )
    made = plan(after, in_force=parse(load(agreement_file).raw))
    assert [(c.path, c.klass.value) for c in made.changes] == [
        ("privacy.clip", "m"),
        ("round.deadline", "o"),
    ]
    assert made.text().endswith(
        "2 changes against the agreement in force:\n"
        "  [m] material: every hospital must consent anew\n"
        "    privacy.clip: 1 -> 2\n"
        "  [o] operational: in force after the notice, unless a hospital objects\n"
        "    round.deadline: 7200 -> 10800"
    )


def test_same_agreement_changes_nothing(agreement_file):
    document = load(agreement_file)
    made = plan(document, in_force=document)
    assert made.changes == ()
    assert made.text().endswith("Nothing changes against the agreement in force.")


def test_text_fits_96_columns_and_is_the_same_at_the_site(agreement_file):
    document = load(agreement_file)
    text = plan(document).text()
    assert max(map(len, text.splitlines())) <= 96
    assert plan(parse(document.raw)).text() == text


def test_plan_says_who_can_read_an_update_and_what_exact_figures_cost(agreement_file):
    sections = plan(load(agreement_file)).sections
    assert any("masks are off" in sentence for sentence in sections["visible"])
    assert "Held-out patients' figures are exact and not covered by ε." in sections["privacy"]


# --- figures with noise ----------------------------------------------------------------------

NOISED = ("exact: {every: 1}", "noised: {epsilon_total: 1.0, every: 10}")
WIDE_GATE = ("not_worse_than: 0.05", "not_worse_than: 0.3")


def test_noised_figures_are_in_the_one_epsilon_and_told_apart(changed):
    exact, noised = plan(load(changed())), plan(load(changed(NOISED, WIDE_GATE)))
    assert exact.epsilon < noised.epsilon < exact.epsilon + 1.0
    said = " ".join(" ".join(noised.sections["privacy"]).split())
    assert "the figures of held-out patients (ε = 1.00 alone): 4 evaluations" in said
    assert "exact" not in said
    assert "Held-out patients' figures are exact" in " ".join(exact.sections["privacy"])


def test_a_gate_below_twice_the_noise_of_the_figures_is_refused(changed):
    refusal = _refusal(changed(NOISED))
    assert refusal.rule == "gate-below-noise"
    assert "of it by the figures' noise" in str(refusal)
    assert "evaluate less often, or raise privacy.metrics.noised.epsilon_total" in str(refusal)


def test_the_patients_that_a_refused_gate_names_are_enough(changed):
    refusal = _refusal(changed(NOISED))
    patients = re.search(r"minimum_patients \(line \d+\) to (\d+)", str(refusal))
    enough = ("minimum_patients: 2000", f"minimum_patients: {patients[1]}")
    assert plan(load(changed(NOISED, enough))).epsilon


def test_a_target_that_noise_alone_could_reach_stops_nothing(changed):
    path = changed(NOISED, WIDE_GATE, ("reached: 0.92", "reached: 0.6"))
    assert "by the figures' noise" in str(_refusal(path))


def test_an_epsilon_for_figures_that_no_noise_reaches_is_refused_at_its_line(changed):
    refusal = _refusal(changed((NOISED[0], "noised: {epsilon_total: 0.001, every: 1}")))
    assert refusal.rule == "unfittable-target"
    assert "The lowest possible" in str(refusal)


def test_masked_figures_are_said_to_be_nobody_s_own(changed):
    masked = plan(load(changed(NOISED, WIDE_GATE, ("secure: false", "secure: true"))))
    said = " ".join(" ".join(masked.sections["visible"]).split())
    assert "Nobody sees a hospital's own figures of quality" in said
    assert "no figure of one hospital" in said.lower()
    leaves = " ".join(" ".join(masked.sections["leaves"]).split())
    assert "they leave masked for their sum" in leaves
    assert "of all hospitals together drown in the noise" in " ".join(
        " ".join(masked.sections["privacy"]).split()
    )


def test_noised_figures_beside_bare_updates_are_refused_with_both_lines(changed):
    refusal = _refusal(
        changed(NOISED, WIDE_GATE, ("noise_multiplier: 1.25", "noise_multiplier: 0"))
    )
    assert "privacy.metrics.noised" in str(refusal)
    assert "privacy.noise_multiplier (line" in str(refusal)
