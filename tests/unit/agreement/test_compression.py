"""What a plan says of compression, and what it refuses to compress."""

from __future__ import annotations

import re

import pytest

from governance.agreement.load import load
from governance.agreement.plan import plan
from protos.errors import Refused

NONE = "compression: {name: none}"
INT8 = (NONE, "compression: {name: int8}")
RANDOM_K = (NONE, "compression: {name: random-k, keep: 0.02}")
MASKS = ("secure: false", "secure: true")
FEDAVG = ("name: scaffold, server_rate: 1.0", "name: fedavg")


def said(path):
    return " ".join(plan(load(path)).text().split())


def without_privacy(text):
    start, end = text.index("privacy:   "), text.index("aggregation:  ")
    return (
        (text[start:end], "privacy: off\n"),
        ("steps: 20, sampling_rate: 0.05", "epochs: 1, batch: 32"),
    )


def test_random_k_says_how_many_numbers_leave_and_that_the_rest_stays(changed):
    text = said(changed(RANDOM_K))
    assert "Of the 833 numbers of an update 17 leave in a round (2 %)" in text
    assert "What is left out stays at the hospital, is added to its next update" in text
    assert "making an update smaller costs no ε and saves none" in text


@pytest.mark.parametrize("pairs", [(RANDOM_K,), (RANDOM_K, MASKS)], ids=["plain", "masked"])
def test_random_k_says_how_many_bytes_leave(changed, pairs):
    (sent,) = re.findall(r"an update takes ([0-9,]+) bytes", said(changed(*pairs)))
    assert int(sent.replace(",", "")) == 2 * 17 * 4 + 72  # SCAFFOLD's two parts, and a header


def test_int8_says_its_steps(changed):
    text = said(changed(INT8))
    assert "leaves as one of 255 steps of" in text
    assert "the steps follow from this agreement alone, not from any patient" in text


def test_int8_says_how_many_bits_the_masked_sum_needs(changed):
    # Five hospitals, the largest with ten times 2000 patients: weights of 2000 in tens.
    text = said(changed(INT8, MASKS))
    assert "each number of the update takes 22 bits, as many as the sum of 5" in text
    assert "each number of the change of the control variates takes 11 bits" in text
    assert "that sum is exact" in text


def test_random_k_under_masks_says_that_what_is_beyond_waits(changed):
    assert "what is beyond waits for the next update" in said(changed(RANDOM_K, MASKS))


def test_int8_without_privacy_is_refused_with_both_lines(changed, agreement_text):
    with pytest.raises(Refused) as refusal:
        plan(load(changed(INT8, FEDAVG, *without_privacy(agreement_text))))
    assert "aggregation.compression.name (line " in str(refusal.value)
    assert "do not go together: only clipped gradients are bounded" in str(refusal.value)


def test_random_k_goes_without_privacy(changed, agreement_text):
    text = said(changed(RANDOM_K, FEDAVG, *without_privacy(agreement_text)))
    assert "Of the 833 numbers of an update 17 leave" in text
    assert "costs no ε" not in text


@pytest.mark.parametrize("way", [INT8, RANDOM_K], ids=["int8", "random-k"])
def test_robust_rules_are_refused_with_both_lines(changed, way):
    with pytest.raises(Refused) as refusal:
        plan(load(changed(way, ("name: scaffold, server_rate: 1.0", "name: krum"))))
    assert "and strategy.name (line " in str(refusal.value)
    assert "these leave a part of theirs out" in str(refusal.value)


def test_a_change_of_compression_is_material(changed, agreement_file):
    before = load(agreement_file)
    changes = plan(load(changed(RANDOM_K)), in_force=before).changes
    assert {change.path for change in changes} >= {"aggregation.compression.name"}
