"""A model follows from its agreement alone, and every layer has a gradient per patient."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from governance import models
from protos.errors import Refused


def agreement(name="mlp", hidden=(16, 8), norm="group", seed=1, width=5, outputs=1):
    model = SimpleNamespace(name=name, hidden=hidden, norm=norm, seed=seed, wheel=None)
    return SimpleNamespace(model=model, input_width=width, output_width=outputs)


LINEAR = agreement(name="linear", hidden=(), norm=None)
SOFTMAX = agreement(name="linear", hidden=(), norm=None, outputs=10)
EACH = [
    LINEAR,
    SOFTMAX,
    agreement(),
    agreement(norm=None),
    agreement(hidden=(8,), width=1),
    agreement(outputs=3),
]


@pytest.mark.parametrize("each", EACH)
def test_shapes_without_torch_are_those_of_the_module(each):
    built = {name: tuple(p.shape) for name, p in models.build(each).named_parameters()}
    assert models.parameter_shapes(each) == built
    assert {name: w.shape for name, w in models.initial_state(each).items()} == built


@pytest.mark.parametrize("each", EACH)
def test_opacus_finds_nothing_to_refuse(each):
    from opacus.validators import ModuleValidator

    assert ModuleValidator.validate(models.build(each)) == []


def test_first_weights_follow_from_the_seed():
    first, again = models.initial_state(agreement()), models.initial_state(agreement())
    other = models.initial_state(agreement(seed=2))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["hidden1.weight"] != other["hidden1.weight"]).all()
    assert all(w.dtype == np.float32 for w in first.values())


def test_first_weights_are_those_of_the_module():
    built = models.build(agreement()).state_dict()
    first = models.initial_state(agreement())
    assert all((built[name].numpy() == first[name]).all() for name in first)


def test_first_weights_stay_the_same_from_version_to_version():
    first = models.initial_state(agreement(hidden=(8,), norm=None, width=2))
    assert first["hidden1.weight"][0].tolist() == pytest.approx([0.016718, 0.637052], abs=1e-6)


def test_linear_model_starts_at_zero():
    assert not any(w.any() for w in models.initial_state(LINEAR).values())


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        (agreement(norm="batch"), "model.norm"),
        (agreement(norm="layer"), "model.norm"),
        (agreement(hidden=(10,)), "model.hidden"),
        (agreement(hidden=(4,)), "model.hidden"),
        (agreement(hidden=()), "model.hidden"),
        (agreement(hidden=(0,)), "model.hidden"),
        (agreement(hidden=(8,) * 9), "model.hidden"),
        (agreement(name="linear"), "model.hidden"),
        (agreement(name="transformer"), "model.name"),
    ],
)
def test_model_that_cannot_be_trained_is_refused_naming_where(bad, where):
    with pytest.raises(Refused) as error:
        models.validate(bad)
    assert error.value.rule == "model-not-trainable"
    assert error.value.where == where


def test_layer_that_is_not_in_the_table_is_refused():
    from governance.models import layers

    class Dropout:
        name = "dropout1"

    with pytest.raises(Refused, match="no gradient for each patient"):
        layers.check([Dropout()])


def test_a_category_has_one_output_for_each_value():
    assert models.parameter_shapes(SOFTMAX) == {"linear.weight": (10, 5), "linear.bias": (10,)}
    assert models.parameter_shapes(agreement(outputs=3))["output.weight"] == (3, 8)
