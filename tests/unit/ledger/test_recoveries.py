"""The word about a recovery says where it stands, or is refused and found."""

from __future__ import annotations

import pytest

from governance.ledger.check_members import log_recovered
from governance.ledger.project_recovery import log_recovered as projected
from governance.ledger.replay import State
from protos.errors import Refused


class Word:
    """As much of an entry as the rule looks at."""

    seq = 7
    actor_name = "van-dijk"

    def __init__(self, backup, size):
        self.body = {"backup": backup, "size": size}


@pytest.mark.parametrize(("backup", "size"), [(4, 6), (4, 8), (8, 7)])
def test_a_recovery_that_misstates_its_place_is_refused_and_found(backup, size):
    for rule in (lambda e: projected(None, e), lambda e: log_recovered(State(), e)):
        with pytest.raises(Refused) as refused:
            rule(Word(backup, size))
        assert refused.value.rule == "recovery-misstated"


def test_only_entries_from_copies_may_lack_what_they_disclosed():
    state = State()
    log_recovered(state, Word(4, 7))
    assert state.keeping.from_copies == {4, 5, 6}
