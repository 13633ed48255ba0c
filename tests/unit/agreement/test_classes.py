"""Every field has a class; the material digest covers the material fields and is frozen."""

from __future__ import annotations

import json

import pytest

from governance.agreement.classes import (
    CLASS_OF,
    Klass,
    asks_consent,
    changes,
    class_of,
    material_digest,
)
from governance.agreement.load import load, parse
from governance.agreement.schema import Agreement
from governance.yaml_models import _as_model


def _fields(model, prefix=""):
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        section = _as_model(field.annotation)
        if section is not None:
            yield from _fields(section, f"{path}.")
        else:
            yield path


def test_every_field_has_a_class_and_every_class_a_field():
    assert set(_fields(Agreement)) == set(CLASS_OF)


def test_field_without_a_class_does_not_pass_unnoticed():
    with pytest.raises(KeyError):
        class_of("privacy_policy")


def test_part_of_a_field_has_its_class():
    assert class_of("sites.roster.charite") is Klass.MATERIAL
    assert class_of("data.features.age") is Klass.MATERIAL


def test_section_that_comes_or_goes_has_the_strongest_class_in_it():
    assert class_of("privacy") is Klass.MATERIAL
    assert class_of("schedule.window") is Klass.OPERATIONAL


def test_more_rounds_are_material_and_fewer_operational():
    assert class_of("schedule.rounds", old=40, new=41) is Klass.MATERIAL
    assert class_of("schedule.rounds", old=40, new=39) is Klass.OPERATIONAL


@pytest.mark.slow
def test_fewer_rounds_are_material_where_the_noise_follows_from_a_target(changed):
    target = ("noise_multiplier: 1.25", "target: {epsilon: 3.0}")
    before = load(changed(target))
    after = load(changed(target, ("rounds: 40", "rounds: 39"), name="after.yaml"))
    (change,) = changes(before.fields(), after.fields())
    assert (change.path, change.klass) == ("schedule.rounds", Klass.MATERIAL)
    assert after.agreement.sigma < before.agreement.sigma


def test_material_digest_is_frozen_for_schema_version_1(vectors):
    frozen = json.loads((vectors / "heart-failure-europe.json").read_text())
    document = parse(frozen["document"].encode())
    assert document.digest == frozen["digest"]
    assert document.material == frozen["material"]


def test_vector_is_the_document_of_the_designs_agreement(agreement_file, vectors):
    frozen = json.loads((vectors / "heart-failure-europe.json").read_text())
    assert load(agreement_file).raw.decode() == frozen["document"]


CHANGES = [
    ("title: Mortality", "title: Deaths", "title", "e"),
    ("deadline: 2h", "deadline: 3h", "round.deadline", "o"),
    ("close_early_after: 20m", "close_early_after: 30m", "round.stragglers", "o"),
    ("patience: 2", "patience: 3", "schedule.stop.patience", "o"),
    ('from: "20:00"', 'from: "21:00"', "schedule.window.from", "o"),
    ("memory: 8GiB", "memory: 4GiB", "sites.requires.memory", "o"),
    ("attempts: 3", "attempts: 4", "round.attempts", "m"),
    ("steps: 20", "steps: 21", "round.local.steps", "m"),
    ("rounds: 40", "rounds: 41", "schedule.rounds", "m"),
    ("close_at_least: 4", "close_at_least: 3", "sites.close_at_least", "m"),
    ("epsilon: 8.0", "epsilon: 8.1", "privacy.budget.epsilon", "m"),
    ("at_most: 0.02", "at_most: 0.03", "data.features.age.missing.at_most", "m"),
    ("visible_to: own-site", "visible_to: all", "quality.visible_to", "m"),
    ("notice: 14d", "notice: 1d", "notice", "m"),
    ("two_for: [replace, ", "two_for: [", "operators.two_for", "m"),
    (f"charite: ed25519:{1:064x}", f"charite: ed25519:{99:064x}", "sites.roster.charite", "m"),
]


@pytest.mark.parametrize(("old", "new", "path", "klass"), CHANGES)
def test_change_has_its_path_class_and_effect_on_the_digests(
    changed, agreement_file, old, new, path, klass
):
    before, after = load(agreement_file), load(changed((old, new), name="after.yaml"))
    (change,) = changes(before.fields(), after.fields())
    assert (change.path, change.klass.value) == (path, klass)
    assert (before.material != after.material) == (klass == "m")
    assert before.digest != after.digest
    assert asks_consent([change]) == (klass == "m")


def test_consent_never_covers_rounds_it_was_not_given_for(changed, agreement_file):
    fewer = load(changed(("rounds: 40", "rounds: 39"), name="after.yaml"))
    assert fewer.material != load(agreement_file).material


def test_features_are_compared_by_name_and_their_order_counts(agreement_file):
    before = load(agreement_file).fields()
    after = json.loads(json.dumps(before))
    after["data"]["features"].reverse()
    (change,) = changes(before, after)
    assert change.path == "data.features.order"
    assert change.klass is Klass.MATERIAL
    assert material_digest(before) != material_digest(after)


def test_privacy_turned_off_is_one_material_change(agreement_file):
    before = load(agreement_file).fields()
    (change,) = changes(before, {**before, "privacy": "off"})
    assert (change.path, change.new, change.klass) == ("privacy", "off", Klass.MATERIAL)


def test_nothing_changed_is_no_change(agreement_file):
    fields = load(agreement_file).fields()
    assert changes(fields, fields) == ()
