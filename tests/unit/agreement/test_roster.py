"""Filling a draft's roster edits the operator's text and nothing else in it."""

from __future__ import annotations

import pytest

from governance.agreement.load import load
from governance.agreement.roster import fill_roster, require_keys
from protos.errors import Refused

KEYS = {
    "charite": (f"ed25519:{1:064x}",),
    "amc": (f"ed25519:{2:064x}",),
    "ucl": (f"ed25519:{3:064x}",),
    "karolinska": (f"ed25519:{4:064x}", f"ed25519:{40:064x}"),
    "gemelli": (f"ed25519:{5:064x}",),
    "stranger": (f"ed25519:{9:064x}",),
}
OPERATORS = {"van-dijk": f"ed25519:{6:064x}", "rossi": f"ed25519:{7:064x}"}

ROSTERS = [
    "    charite:   # the first\n    amc: ~\n    ucl: null\n    karolinska:\n    gemelli: []\n",
    "    - charite  # the first\n    - amc\n    - ucl\n    -   karolinska\n    - gemelli\n",
    "  - charite  # the first\n  - amc\n  - ucl\n  -   karolinska\n  - gemelli\n",
    "    {charite: , amc: null, ucl, 'karolinska': ~, gemelli: [ ]}\n",
    "    [charite, amc,   # and\n     ucl, karolinska, gemelli]\n",
    f"    charite: {KEYS['charite'][0]}\n    amc:\n    ucl:\n    karolinska: \n    gemelli:\n",
]


@pytest.fixture
def draft(changed, agreement_text):
    start, end = agreement_text.index("    charite:"), agreement_text.index("  ready_at_least")
    operators = agreement_text[
        agreement_text.index("{van-dijk") : agreement_text.index("\n  two_for")
    ]

    def write(roster, of_operators="{van-dijk: , rossi: }"):
        return changed((agreement_text[start:end], roster), (operators, of_operators))

    return write


@pytest.mark.parametrize("roster", ROSTERS)
@pytest.mark.parametrize(
    "operators", ["{van-dijk: , rossi: }", "[van-dijk, rossi]", "{van-dijk, rossi}"]
)
def test_every_way_to_write_a_draft_is_filled(draft, roster, operators):
    path = draft(roster, operators)
    filled = fill_roster(path, KEYS, OPERATORS)
    path.write_text(filled)
    agreement = load(path).agreement
    assert agreement.sites.roster == {n: tuple(sorted(KEYS[n])) for n in agreement.sites.roster}
    assert agreement.operators.keys == OPERATORS
    assert not agreement.is_draft
    require_keys(load(path))


def test_comments_order_and_all_else_stay(draft):
    path = draft(ROSTERS[0])
    before, after = (
        path.read_text().splitlines(),
        fill_roster(path, KEYS, OPERATORS).splitlines(),
    )
    assert len(before) == len(after)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 6
    assert f"    charite: {KEYS['charite'][0]}   # the first" in after


def test_filled_file_is_left_as_it_is(agreement_file):
    keys = {**KEYS, "karolinska": KEYS["karolinska"][:1]}
    assert fill_roster(agreement_file, keys, OPERATORS) == agreement_file.read_text()


def test_hospital_that_is_not_enrolled_is_named(draft):
    keys = {name: key for name, key in KEYS.items() if name not in {"amc", "ucl"}}
    with pytest.raises(Refused, match="no key of: amc, ucl") as caught:
        fill_roster(draft(ROSTERS[0]), keys, OPERATORS)
    assert caught.value.rule == "not-enrolled"
    assert "`concilium-coordinator invite site amc` gives" in caught.value.todo


def test_operator_who_is_not_enrolled_is_invited_as_one(draft):
    with pytest.raises(Refused, match="no key of: rossi") as caught:
        fill_roster(draft(ROSTERS[0]), KEYS, {"van-dijk": OPERATORS["van-dijk"]})
    assert "`concilium-coordinator invite operator rossi` gives" in caught.value.todo


def test_key_in_the_file_that_is_not_the_enrolled_one_is_refused(draft):
    roster = ROSTERS[-1].replace(KEYS["charite"][0], f"ed25519:{77:064x}")
    with pytest.raises(Refused, match="is not the key that charite enrolled with") as caught:
        fill_roster(draft(roster), KEYS, OPERATORS)
    assert caught.value.rule == "other-key"


def test_draft_cannot_be_proposed(draft):
    with pytest.raises(Refused, match="there is no key for") as caught:
        require_keys(load(draft(ROSTERS[0])))
    assert caught.value.rule == "draft-roster"
