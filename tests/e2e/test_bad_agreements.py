"""An agreement that cannot be: said in one sentence with its place, before anything is done."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from programs import COORDINATOR, SITE, call, refused
from standing import DEMO, SITES, agreement_with, of_three

from coordinator.console import open_console

_MLP = {"name": "mlp", "hidden": [16], "norm": "group", "seed": 1}


def spoilt(place, old, new):
    """Write the demonstration's agreement with other text in one place."""
    text = (DEMO / "agreement.yaml").read_text(encoding="utf-8")
    assert old in text
    place.write_text(text.replace(old, new), encoding="utf-8")
    return place


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("schedule: {", "\tschedule: {", "24:1: this is not YAML"),
        ("title: M", 'title: "M', ": this is not YAML"),
        ("model: {name: linear", "model: {name: linear, name: linear", "name"),
    ],
    ids=["tab", "quote", "twice"],
)
def test_malformed_yaml_is_said_with_its_place(tmp_path, old, new, place):
    path = spoilt(tmp_path / "agreement.yaml", old, new)
    refused(call(COORDINATOR, "plan", path), f"error: {path}:", place)


def test_all_errors_of_a_file_are_said_at_once(tmp_path):
    wrong = {"strategy": {"name": "fedsgd"}, "schedule.rounds": 0, "privacy.delta": 3}
    path = agreement_with(tmp_path / "agreement.yaml", wrong)
    said = refused(
        call(COORDINATOR, "plan", path), "schedule.rounds is 0", "privacy.delta is 3"
    )
    assert "strategy.name is 'fedsgd', but must be fedavg, fedprox" in said.sentences
    assert said.sentences.count(f"{path}:") == 3


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({**_MLP, "norm": "batch"}, ["mixes the patients of a batch", "Write norm: group"]),
        ({**_MLP, "hidden": [30]}, ["width 30", "a multiple of 4"]),
        ({**_MLP, "hidden": [0]}, ["model.hidden[0] is 0", "from 1 to 65536"]),
        ({"name": "resnet", "seed": 1}, ["no model is called 'resnet'"]),
    ],
    ids=["batch-norm", "width", "no-width", "unknown"],
)
def test_a_model_that_cannot_be_trained_privately_is_refused_at_plan(tmp_path, model, words):
    path = agreement_with(tmp_path / "agreement.yaml", {"model": model})
    refused(call(COORDINATOR, "plan", path), f"error: {path}:", *words)


def test_what_cannot_be_is_not_rehearsed_and_nothing_is_touched(tmp_path):
    out = tmp_path / "out"
    path = agreement_with(tmp_path / "agreement.yaml", {"model": {**_MLP, "norm": "batch"}})
    command = ("rehearse", path, "--sites", DEMO / "sites", "--out", out)
    refused(call(COORDINATOR, *command), f"error: {path}:", "mixes the patients of a batch")
    assert not out.exists()


def test_what_cannot_be_is_not_proposed_and_the_right_one_then_is(served, tmp_path):
    before = served.entries()
    path = of_three(tmp_path / "agreement.yaml", strategy={"name": "fedsgd"})
    text = path.read_bytes()
    said = served.operator("propose", path, "--fill-roster")
    refused(said, "strategy.name is 'fedsgd'")
    assert (served.entries(), path.read_bytes()) == (before, text)
    path = of_three(tmp_path / "agreement.yaml", title="Another title")
    assert served.operator("propose", path, "--fill-roster").code == 0


def test_a_change_is_found_by_plan_and_asks_for_a_new_consent(tmp_path):
    agreed = of_three(tmp_path / "agreed.yaml")
    edited = of_three(tmp_path / "edited.yaml", **{"privacy.noise_multiplier": 2.5})
    said = call(COORDINATOR, "plan", edited, "--against", agreed)
    assert said.code == 1, said
    assert "noise_multiplier" in said.out
    assert call(COORDINATOR, "plan", agreed, "--against", agreed).code == 0


def test_an_agreement_edited_after_it_was_proposed_is_not_served(fed):
    """Whoever can write the database still cannot change what hospitals consented to."""
    database = fed.coordinator / "state" / "coordinator.db"

    def swap(old, new):
        with closing(sqlite3.connect(database)) as c, c:
            altered = "UPDATE documents SET raw = CAST(replace(raw, ?, ?) AS BLOB)"
            c.execute(altered, (old, new))

    rate = '"rate":"0.3"', '"rate":"0.9"'
    swap(*rate)
    said = fed.operator("serve")
    refused(said, "is not what was proposed", "backup")
    swap(*reversed(rate))
    fed.serve()
    with open_console(fed.coordinator, None) as console:
        assert console.status().proposed


def test_a_consent_is_to_the_text_that_was_shown_and_to_no_other(fed, tmp_path):
    name, draft = SITES[0], tmp_path / "consent.json"
    key = fed.site_file(name).parent / "keys" / "officer.pem"
    assert fed.consent(name, "--export", draft).code == 0
    whole = draft.read_text()
    sign = ("sign", draft, "--officer-key", key, "--yes", *fed.secret)
    for old, new in (("20 % ", "99 % "), ("lakeside", "lakesite")):
        assert old in whole
        draft.write_text(whole.replace(old, new))
        refused(call(SITE, *sign), "is not the text", "find out who changed it")
    draft.write_text(whole)
    assert call(SITE, *sign).code == 0
    signed = draft.read_text()
    draft.write_text(signed.replace("A. Weber", "B. Weber"))
    journal = fed.site_rows(name, "SELECT count(*) FROM journal")
    refused(fed.site(name, "consent", "--import", draft))
    assert fed.site_rows(name, "SELECT count(*) FROM journal") == journal
    draft.write_text(signed)
    assert fed.site(name, "consent", "--import", draft).code == 0
