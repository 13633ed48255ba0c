"""Who said no to a proposal is told in a sentence, with the reason."""

from __future__ import annotations

import pytest

from coordinator import dissenting
from protos.words_operator import Dissent


@pytest.mark.parametrize(
    ("state", "said"),
    [("declined", "amc declined the proposal"), ("objected", "amc objected to the proposal")],
)
def test_a_dissent_is_a_sentence_with_its_reason(state, said):
    (line,) = dissenting.lines([Dissent("amc", state, "not at night")])
    assert line == f"{said}: «not at night»"
