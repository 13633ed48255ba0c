"""A counter-proposal is a difference, field by field, and nothing else."""

from __future__ import annotations

import json

import pytest

from governance.agreement import counter
from governance.agreement.load import load
from protos.errors import PeerFault, Refused


def test_a_difference_survives_its_text(changed):
    proposed = load(changed())
    wanted = load(
        changed(("noise_multiplier: 1.25", "noise_multiplier: 2.5"), name="ours.yaml")
    )
    found = counter.difference(proposed, wanted)
    assert [(c.path, c.old, c.new, c.klass) for c in found] == [
        ("privacy.noise_multiplier", "1.25", "2.5", "m")
    ]
    assert counter.of_text(counter.to_text(found)) == found


def test_a_counter_proposal_that_changes_nothing_is_refused(agreement_file):
    with pytest.raises(Refused) as refused:
        counter.difference(load(agreement_file), load(agreement_file))
    assert refused.value.rule == "bad-counter"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}x",
        "[1]",
        '[{"path":"title","old":1}]',
        '[{"path":"nothing.there","old":1,"new":2}]',
        '[{"path":3,"old":1,"new":2}]',
        json.dumps([{"path": "title", "old": 1, "new": 2, "more": 3}]),
    ],
)
def test_what_is_no_difference_is_refused(text):
    with pytest.raises(PeerFault):
        counter.of_text(text)
