"""What is trained and judged on another device is what the processor makes, within rounding.

`CONCILIUM_DEVICE=cuda` runs it on that device and nowhere skips it.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import torch

from governance import figures, tensors
from protos.errors import Refused
from site_agent import evaluation, training

WANTED = os.environ.get("CONCILIUM_DEVICE", "")
HAS_CUDA = torch.cuda.is_available()
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not HAS_CUDA and WANTED != "cuda", reason="no cuda here"),
    ),
]
CLOSE = {"rtol": 1e-4, "atol": 1e-6}
"""Sums in another order differ by float32's rounding, a few steps of it."""
WAYS = {
    "private": {},
    "many-records": {"round__local": {"steps": 2, "sampling_rate": 1.0}},
    "adam": {"optimizer": {"name": "adam", "rate": 0.05}},
    "plain": {"privacy": "off", "round__local": {"epochs": 2, "batch": 16}},
}


def nothing(_):
    pass


def trained(job, device, out):
    job = dataclasses.replace(job, device=device, out=out)
    made = training.train(job, nothing)
    control = None if made.control is None else tensors.load(made.control)
    return tensors.load(made.update), control


def alike(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], **CLOSE)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", sorted(WAYS))
def test_an_update_is_the_processor_s(hospital, tmp_path, device, way):
    job = hospital(**WAYS[way]).job()
    here, _ = trained(job, "cpu", tmp_path / "here")
    there, _ = trained(job, device, tmp_path / "there")
    assert any(np.abs(part).max() > 1e-3 for part in here.values())
    alike(here, there)


@pytest.mark.parametrize("device", DEVICES)
def test_control_variates_are_the_processor_s(hospital, tmp_path, device):
    made = hospital(strategy={"name": "scaffold"})
    state = made.write_model(
        {f"c/{name}": w + np.float32(0.1) for name, w in tensors.load(made.model).items()}
    )
    job = made.job(state=state)
    (here, control), (there, other) = (
        trained(job, place, tmp_path / name) for place, name in (("cpu", "a"), (device, "b"))
    )
    alike(here, there)
    alike(control, other)


@pytest.mark.parametrize("device", DEVICES)
def test_figures_are_the_processor_s(hospital, device):
    job = hospital().evaluation()
    here = evaluation.evaluate(job)
    there = evaluation.evaluate(dataclasses.replace(job, device=device))
    assert there.figures.metric("auc") == pytest.approx(here.figures.metric("auc"), rel=1e-4)
    assert figures.from_json(there.told) == there.figures


@pytest.mark.skipif(HAS_CUDA, reason="there is a cuda device here")
def test_a_device_that_torch_does_not_see_is_refused_and_nothing_is_written(hospital, tmp_path):
    with pytest.raises(Refused, match="torch sees no cuda device") as refusal:
        trained(hospital().job(), "cuda", tmp_path / "out")
    assert refusal.value.rule == "no-device"
    assert not (tmp_path / "out").exists()
