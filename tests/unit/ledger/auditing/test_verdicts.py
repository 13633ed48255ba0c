"""A verdict in words says how far the witnesses vouch for the record."""

from __future__ import annotations

import pytest

from governance.ledger import verdicts
from governance.ledger.verify import Verdict
from governance.terminal import Format


@pytest.mark.parametrize(("witnessed", "told"), [(0, False), (6, True), (9, False)])
def test_what_fewer_than_half_have_cosigned_is_told(witnessed, told):
    verdict = Verdict(
        entries=9,
        checkpoint_size=9,
        cosignatures=1,
        witnessed=witnessed,
        fault=None,
        unproven=""
        if witnessed
        else "no checkpoint is cosigned by more than half of the sites",
    )
    notes = verdicts.answer(verdict, Format.TABLE).notes
    said = "More than half of the sites cosigned the first 6 entries, fewer the rest."
    assert (said in notes) == told
