"""Every error of an agreement's file is said at once: where, what is wrong, what must be."""

from __future__ import annotations

import pytest

from governance.agreement.load import load
from protos.errors import Refused


def _refusal(path):
    with pytest.raises(Refused) as caught:
        load(path)
    assert caught.value.rule == "malformed-file"
    return str(caught.value).replace(f"{path.parent}/", "")


def test_error_says_file_line_column_value_and_range(changed):
    said = _refusal(changed(("sampling_rate: 0.05", "sampling_rate: 1.5")))
    assert said == (
        "agreement.yaml:42:37: round.local.sampling_rate is 1.5, but must be a number above 0 "
        "and at most 1"
    )


def test_all_errors_of_a_file_are_said_at_once_in_its_order(changed):
    path = changed(
        ("rounds: 40", "rounds: 0"),
        ("attempts: 3", "attempt: 3"),
        ("hosted_in: NL", "hosted_in: Netherlands"),
        ("title: Mortality after myocardial infarction", "title: [1]"),
    )
    lines = _refusal(path).splitlines()
    assert [line.split(" ")[0].split(":")[1] for line in lines] == ["7", "11", "33", "40"]
    assert "schedule.rounds is 0, but must be a whole number from 1 to 100000" in lines[2]
    assert "round.attempt is a key that is not known here" in lines[3]
    assert "(did you mean attempts?)" in lines[3]


def test_duplicate_key_is_said_beside_other_errors(changed):
    path = changed(
        ("licence: CC-BY-NC-4.0", "licence: X\nlicence: Y"), ("rounds: 40", "rounds: x")
    )
    said = _refusal(path)
    assert "licence stands here again; it is already in line 10" in said
    assert "schedule.rounds is 'x', but must be a whole number" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: scaffold", "name: scafold", "did you mean scaffold?"),
        ("rate: 0.1}", "rate: 0}", "optimizer.rate is 0, but must be a number above 0 and at"),
        (
            "delta: 1.0e-5",
            "delta: 0.001",
            "privacy.delta is 0.001, but must be below 1/data.minimum_patients (line 47) = ",
        ),
        (
            "noise_multiplier: 1.25",
            "target: {epsilon: 9}",
            "privacy.target.epsilon is 9, but must be at most privacy.budget.epsilon (line 64)",
        ),
        (
            "noise_multiplier: 1.25",
            "target: {epsilon: 0}",
            "privacy.target.epsilon is 0, but must be a number above 0 and at most 1000",
        ),
        (
            "sampling_rate: 0.05",
            "sampling_rate: 1.5",
            "round.local.sampling_rate is 1.5, but must be a number above 0 and at most 1",
        ),
        (
            "delta: 1.0e-5",
            "delta: 1",
            "privacy.delta is 1, but must be a number above 0 and below 1",
        ),
        (
            "budget: {epsilon: 8.0}",
            "budget: {epsilon: 0}",
            "privacy.budget.epsilon is 0, but must",
        ),
        (
            "budget: {epsilon: 8.0}",
            "budget: {epsilon: -1}",
            "privacy.budget.epsilon is -1, but",
        ),
        ("clip: 1.0", "clip: .inf", "privacy.clip is '.inf', but must be a number above 0"),
        ("clip: 1.0", 'clip: "1.0"', "privacy.clip is '1.0', but must be a number above 0"),
        ("clip: 1.0", "clip: 1e999", "privacy.clip is inf, but must be a number above 0"),
        ("clip: 1.0", "clip: true", "privacy.clip is true, but must be a number above 0"),
        ("deadline: 2h", "deadline: 2 hours", "must be a duration such as 90s, 20m, 2h"),
        ("deadline: 2h", "deadline: 0s", "must be a duration of at least 1s"),
        (
            "close_early_after: 20m",
            "close_after: 20m",
            "must be wait, or {close_early_after: 20m}",
        ),
        ("zone: Europe/Berlin", "zone: Berlin", "must be a time zone such as Europe/Berlin"),
        ('from: "20:00"', "from: 20:60", "schedule.window.from is '20:60', but must be a time"),
        (
            "until: 2028-12-31",
            "until: 2026-12-31",
            "2026-12-31, but must be after valid.from",
        ),
        ("until: 2028-12-31", "until: 2028-02-30", "must be a date such as 2027-01-31"),
        ("notice: 14d", "notice: 14", "notice is 14, but must be a duration"),
        ("memory: 8GiB", "memory: 8GB", "must be a size such as 512MiB or 8GiB"),
        ("upload: 10Mbit/s", "upload: fast", "must be a rate such as 500kbit/s or 10Mbit/s"),
        (
            "hosted_in: NL",
            "hosted_in: true",
            "coordinator.hosted_in is true, but must be a country",
        ),
        (
            "ready_at_least: 4",
            "ready_at_least: 6",
            "must be at most 5, the hospitals in its roster",
        ),
        ("close_at_least: 4", "close_at_least: 5", "must be at most sites.ready_at_least = 4"),
        (
            "purpose: [DUO:0000006]",
            "purpose: [DUO:6]",
            "purpose[0] is 'DUO:6', but must be a Data",
        ),
        (
            "purpose: [DUO:0000006]",
            "purpose: []",
            "purpose is an empty list, but must be a list of",
        ),
        ("federation: heart-failure-europe", "federation: Heart", "must be a name of 1 to 63"),
        ("unit: patient", "unit: record", "data.unit is 'record', but must be patient"),
        (
            "prevalence: [0.01, 0.40]",
            "prevalence: [0.4, 0.1]",
            "list of numbers in ascending order",
        ),
        ("prevalence: [0.01, 0.40]", "prevalence: 0.4", "must be a list of two numbers"),
        (
            "range: [40, 300]",
            "range: [140, 300]",
            "reference.mean is 130, but must be within the",
        ),
        ("values: [f, m]", "values: [f]", "must be a list of at least two"),
        (
            "values: [f, m]",
            "values: [0, 1]",
            "data.features[2].values[0] is 0, but must be one line",
        ),
        ("name: sbp", "name: age", "data.features[3].name is 'age', but that name is taken"),
        ("[50, 65, 80]", "[50, 65, 130]", "bands.age_band has cuts outside"),
        (
            "subgroups: [sex, age_band]",
            "subgroups: [sbp]",
            "data.subgroups names 'sbp', but must",
        ),
        ("fill: 130", "fill: none", "missing.fill is 'none', but must be a number"),
        (
            "{at_most: 0.10, fill: 130}",
            "{at_most: 0.1}",
            "missing.fill is missing, but must say",
        ),
        (
            "metric: auc, not",
            "metric: rmse, not",
            "quality.accept_if.metric is rmse, but must be one",
        ),
        ("hidden: [32, 16], ", "", "model.hidden is missing, but an mlp must have"),
        ("steps: 20, sampling_rate: 0.05", "steps: 20, batch: 9", "because privacy is on"),
        ("server_rate: 1.0", "mu: 0.1", "strategy.mu does not belong to scaffold"),
        ("name: scaffold,", "name: fedavg, mu: 1,", "strategy.mu does not belong to fedavg"),
        (
            "name: scaffold, server_rate: 1.0",
            "name: fedprox",
            "strategy.mu is missing, but fedprox",
        ),
        ("noise_multiplier: 1.25", "noise_multipler: 1.25", "did you mean noise_multiplier?"),
        ("noise_multiplier: 1.25", "noise_multiplier: -1", "must be a number at least 0"),
        (
            "agreement: 1",
            "agreement: 2",
            "must be 1, the version of the schema that this program",
        ),
        ("obligations: obligations.md", "obligations: none.md", "which cannot be read"),
        ("two_for: [replace", "two_for: [replaces", "did you mean replace?"),
        ("subgroups: [sex", "subgroups: [sexx", "(did you mean sex?)"),
        (
            "secure: false",
            "secure: off",
            "aggregation.secure is 'off', but must be true or false",
        ),
    ],
)
def test_mistake_is_named(changed, old, new, said):
    assert said in _refusal(changed((old, new)))


def test_an_element_that_is_no_good_does_not_make_its_list_too_short_as_well(changed):
    said = _refusal(changed(("[DUO:0000006]", "[DUO:06]")))
    assert "purpose[0] is 'DUO:06'" in said
    assert "at least 1" not in said


def test_missing_section_is_named_and_placed_at_the_top(changed):
    said = _refusal(changed(("data:    ", "date:    ")))
    assert "data is missing, but must be given" in said
    assert "did you mean data?" in said


def test_empty_file_says_what_it_must_hold(tmp_path):
    path = tmp_path / "agreement.yaml"
    path.write_text("# nothing\n")
    assert "the file is empty, but must be a mapping with agreement, federation" in _refusal(
        path
    )


def test_privacy_without_terms_is_no_way_to_turn_it_off(changed, agreement_text):
    section = agreement_text[
        agreement_text.index("  clip: 1.0") : agreement_text.index("aggregation:  ")
    ]
    assert "privacy is empty, but must be a mapping of its terms, or off" in _refusal(
        changed((section, ""))
    )


def test_same_key_for_two_hospitals_is_refused(changed):
    key = "ed25519:" + f"{1:064x}"
    other = "ed25519:" + f"{2:064x}"
    assert "every key must have one holder" in _refusal(changed((other, key)))


def test_upper_case_key_is_refused(changed):
    key = "ed25519:" + f"{1:064x}"
    said = _refusal(changed((key, "ed25519:" + "A" * 64)))
    assert "sites.roster.charite[0] is" in said
    assert "must be a public key: ed25519: and 64 hexadecimal digits" in said


@pytest.mark.parametrize(
    "title", ['"a\\u202Eb"', '"a\\ud800"', '"a\\x1b[31m"', '"a\\nb"', "''", '"a\\u2028b"']
)
def test_text_that_is_not_shown_as_it_is_is_refused(changed, title):
    said = _refusal(
        changed(("title: Mortality after myocardial infarction", f"title: {title}"))
    )
    assert "title is" in said
    assert "but must be one line of plain text" in said


def test_obligations_that_are_not_shown_as_they_are_are_refused(agreement_file):
    (agreement_file.parent / "obligations.md").write_text("We \u202eowe\u202c nothing.\n")
    assert "must be plain text" in _refusal(agreement_file)


def test_size_that_no_json_reader_holds_is_refused(changed):
    assert "must be a size" in _refusal(changed(("memory: 8GiB", "memory: 999999999999TiB")))


def test_norway_stays_a_country(changed):
    assert (
        load(changed(("hosted_in: NL", "hosted_in: NO"))).agreement.coordinator.hosted_in
        == "NO"
    )


def test_bare_until_is_the_end_of_that_day(agreement_file):
    valid = load(agreement_file).agreement.valid
    assert valid.from_.isoformat() == "2027-01-01T00:00:00+00:00"
    assert valid.until.isoformat() == "2028-12-31T23:59:59.999999+00:00"


def test_obligations_are_part_of_the_document_by_text_and_digest(agreement_file):
    first = load(agreement_file)
    (agreement_file.parent / "obligations.md").write_text("Other duties\n")
    second = load(agreement_file)
    assert second.obligations == "Other duties\n"
    assert first.material != second.material


def test_draft_may_have_names_alone(changed, agreement_text):
    roster = agreement_text[
        agreement_text.index("    charite:") : agreement_text.index("  ready_at")
    ]
    document = load(
        changed((roster, "    {charite: , amc: , ucl: , karolinska: , gemelli: }\n"))
    )
    assert document.agreement.is_draft
    listed = load(changed((roster, "    [charite, amc, ucl, karolinska, gemelli]\n")))
    assert listed.raw == document.raw
