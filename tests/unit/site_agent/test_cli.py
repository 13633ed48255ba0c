"""The administrator's program, verb by verb: what it checks and shows, how it exits."""

from __future__ import annotations

import json

import pytest
import yaml
from hospital import FEDERATION, patients, with_second_federation


def test_a_cohort_that_meets_the_contract_exits_0(program, today):
    today.document()
    code, out, _ = program("check", today.folder / "agreement.yaml", "--site", today.file)
    assert code == 0
    assert "meets the agreement's contract" in out


def test_a_cohort_that_breaks_the_contract_exits_1_and_shows_no_value(program, today):
    today.document()
    (today.folder / "patients.csv").write_text(patients().replace("p7,", "p7,9999"))
    code, out, _ = program("check", today.folder / "agreement.yaml", "--site", today.file)
    assert code == 1
    assert "9999" not in out


@pytest.mark.parametrize(
    "data", [b"", b"MRN,ONE\n1,2\n", "MRN,ONE,TWO,DIED\nä,1,2,J\n".encode("latin-1")]
)
def test_data_that_cannot_be_read_exits_2(program, today, data):
    today.document()
    (today.folder / "patients.csv").write_bytes(data)
    code, _, err = program("check", today.folder / "agreement.yaml", "--site", today.file)
    assert code == 2
    assert err.startswith("error: ")


def test_the_proposed_agreement_is_checked_by_default(program, today):
    today.proposed()
    assert program("check", "--site", today.file, "--format", "json")[0] == 0


# --- what it answers -------------------------------------------------------------------------


def test_status_and_budget_answer_without_an_agent(program, today):
    document = today.consented()
    code, out, _ = program("status", "--site", today.file, "--format", "json")
    said = json.loads(out)
    assert (code, said["running"]) == (0, False)
    assert said["rows"][0]["agreement"] == document.digest[:12]
    assert said["rows"][0]["consent"] == "in-force"
    code, out, _ = program("budget", "--site", today.file, "--format", "csv")
    assert code == 0
    assert out.splitlines()[0].startswith("cohort,reservations,epsilon,spent,reserved,training")
    line = "patients,0,0.0000,0.0000,0.0000,0.0000,0.0000,0.0000,6,6.0000,0.00001,"
    assert out.splitlines()[1].startswith(line)


def spend(hospital, document, rounds):
    from governance.privacy.accountant import epsilon, format_epsilon
    from governance.privacy.releases import Release
    from site_agent.store import work
    from site_agent.store.work import Spent

    release = Release(0.1, 2.0, 4)
    for number in range(1, rounds + 1):
        total = format_epsilon(epsilon([release.times(number)], 1e-5))
        spent = Spent(
            FEDERATION,
            f"{FEDERATION}/{number}/1/train",
            "patients",
            document.digest,
            number,
            1,
            release,
            1e-5,
            total,
        )
        hospital.store.now(lambda c, s=spent: work.reserve(c, s, at=hospital.clock()))


def test_the_budget_tells_training_and_metrics_apart_in_one_figure_of_both(program, today):
    from governance.privacy.accountant import epsilon
    from governance.privacy.releases import METRICS, Release
    from site_agent.store import work
    from site_agent.store.work import Spent

    noised = {"noised": {"epsilon_total": 1.0, "every": 5}, "minimum": 10}
    document = today.consented(privacy__metrics=noised)
    spend(today, document, 2)
    figures = Release(1.0, document.agreement.metrics_sigma, 1)
    place = (FEDERATION, f"{FEDERATION}/2/1/evaluate", "patients", document.digest, 2, 1)
    one = Spent(*place, figures, 1e-5, "1.5", METRICS)
    today.store.now(lambda c: work.reserve(c, one, at=today.clock()))
    code, out, _ = program("budget", "--site", today.file, "--format", "json")
    (row,) = json.loads(out)["rows"]
    training = [Release(0.1, 2.0, 8)]
    for name, releases in {
        "training": training,
        "metrics": [figures],
        "epsilon": [*training, figures],
    }.items():
        assert float(row[name]) == pytest.approx(epsilon(releases, 1e-5), abs=2e-4)
    code, out, _ = program("budget", "--site", today.file)
    assert (code, "training" in out, "not covered" in out) == (0, True, False)


def test_exact_figures_have_no_column_in_the_budget_and_are_said_to_be_outside(program, today):
    today.consented()
    _, out, _ = program("budget", "--site", today.file)
    assert "Held-out patients' figures are exact and not covered by ε." in out
    assert "metrics" not in out


def test_the_budget_is_drawn_with_what_is_to_come(program, today):
    spend(today, today.consented(), 20)
    code, out, _ = program("budget", "--site", today.file)
    lines = out.splitlines()
    (foot,) = [line for line in lines if "# 20 so far" in line]
    assert (code, "more at the agreement's rate" in foot) == (0, True)
    drawn = [line.partition("|")[2] for line in lines if "|" in line]
    assert len(drawn) == 8
    heights = [sum(bool(row[place : place + 1].strip()) for row in drawn) for place in (0, 30)]
    assert heights == sorted(heights)
    assert any("#" in row for row in drawn)
    assert max(map(len, lines)) < 100


def test_what_is_at_work_is_reserved_and_not_spent_yet(program, today):
    document = today.consented()
    spend(today, document, 3)
    today.take(today.task(document, round_=3))
    _, out, _ = program("budget", "--site", today.file, "--format", "json")
    (row,) = json.loads(out)["rows"]
    assert float(row["spent"]) < float(row["epsilon"])
    assert float(row["reserved"]) > 0
    assert float(row["left"]) == pytest.approx(6 - float(row["epsilon"]), abs=2e-4)


def test_models_says_what_may_train_and_what_is_held(program, today):
    today.consented()
    name = "ab" * 32
    (today.premises.models / f"{name}.safetensors").write_bytes(bytes(268))
    code, out, _ = program("models", "--site", today.file, "--format", "json")
    rows = {row["model"]: row for row in json.loads(out)["rows"]}
    assert (code, rows["builtin:linear"]["standing"]) == (0, "may train")
    assert rows["builtin:mlp"]["standing"] == "not approved"
    assert (rows[name[:12]]["kind"], rows[name[:12]]["bytes"]) == ("held", 268)


def test_a_federation_must_be_named_where_there_are_several(program, today):
    with_second_federation(today)
    code, _, err = program("status", "--site", today.file)
    assert code == 2
    assert "--federation with one of: hearts, lungs" in err
    assert program("status", "--federation", "hearts", "--site", today.file)[0] == 0


def test_a_hospital_in_no_federation_is_told_to_enrol(program, today):
    said = yaml.safe_load(today.file.read_text())
    today.file.write_text(yaml.safe_dump({**said, "federations": []}))
    code, _, err = program("review", "--site", today.file)
    assert code == 2
    assert "names no federation" in err
    assert "concilium-site enrol" in err


def test_a_file_that_is_wrong_says_where(program, today):
    today.file.write_text(
        today.file.read_text().replace("minimum_sites: 3", "minimum_sites: 0")
    )
    code, _, err = program("status", "--site", today.file)
    assert code == 2
    assert "site.yaml:" in err


def test_outside_a_rehearsal_nothing_is_compared(program, today, tmp_path):
    document = tmp_path / "agreement.json"
    document.write_bytes(today.document().raw)
    argv = ["rehearsal-figures", "--document", document, "--model", document]
    code, _, err = program(*argv, "--out", tmp_path / "out.json", today.file)
    assert code == 2
    assert "rehearsal" in err
