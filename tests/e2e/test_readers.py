"""Somebody who reads an answer only in part, as `head` does, is no error."""

from __future__ import annotations

from programs import COORDINATOR, call
from standing import DEMO


def test_a_reader_that_goes_away_ends_a_verb_without_a_word():
    plan = f"{COORDINATOR} plan {DEMO / 'agreement.yaml'} --format json | true"
    said = call("/bin/bash", "-c", f"set -o pipefail; {plan}")
    assert said.code in {1, 141}
    assert (said.out, said.err) == ("", "")
