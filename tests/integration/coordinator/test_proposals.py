"""A proposal reaches its roster, and is refused when it is not one of this federation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from federations import SITES, officer_of
from operators import refusal
from small_agreement import agreement_yaml

from coordinator import planning
from governance.agreement.load import load
from protos.errors import PeerFault, Refused
from protos.words import AgreementState, Proposal


async def test_proposal_reaches_every_site_of_the_roster(fed):
    document = await fed.propose()
    for site in await fed.come():
        assert await site.next(Proposal) == Proposal(document.raw)
        assert (await site.next(AgreementState)).state == "proposed"
    proposed = fed.entries("agreement-proposed")[0]
    assert proposed.actor == "operator/van-dijk"
    assert proposed.body["agreement"] == document.digest


async def test_proposal_by_file_fills_the_roster_in(fed):
    path = fed.folders.place / "agreement.yaml"
    text = agreement_yaml(dict.fromkeys(SITES), {"van-dijk": None})
    path.write_text(text)
    now = datetime.now(UTC)
    with refusal("draft-roster"):
        await fed.ask(lambda c: planning.propose(c, path, fill=False, now=now))
    document, acted = await fed.ask(lambda c: planning.propose(c, path, fill=True, now=now))
    assert not acted.pending
    keys = {name: (officer_of(name).key_id,) for name in SITES}
    assert dict(document.agreement.sites.roster) == keys
    assert load(path).digest == document.digest


@pytest.mark.parametrize(
    ("rule", "sites", "operators"),
    [
        ("roster-not-enrolled", {"nowhere": officer_of("nowhere").key_id}, {}),
        ("roster-key", {"amc": officer_of("somebody").key_id}, {}),
        ("operator-key", {}, {"van-dijk": officer_of("somebody").key_id}),
        ("operator-key", {}, {"nobody": officer_of("somebody").key_id}),
    ],
)
async def test_proposal_with_a_name_or_key_that_is_not_enrolled_is_refused(
    fed, rule, sites, operators
):
    document = fed.document()
    roster = {name: officer_of(name).key_id for name in SITES}
    keys = dict(document.agreement.operators.keys)
    path = fed.folders.place / "wrong.yaml"
    path.write_text(agreement_yaml({**roster, **sites}, {**keys, **operators}))
    with refusal(rule):
        await fed.propose(load(path))
    assert not fed.entries("agreement-proposed")


async def test_draft_is_refused_by_the_coordinator_too(fed):
    path = fed.folders.place / "draft.yaml"
    path.write_text(agreement_yaml(dict.fromkeys(SITES), {"van-dijk": None}))
    with refusal("roster-key"):
        await fed.propose(load(path))


async def test_proposal_for_another_federation_is_refused(fed):
    with refusal("other-federation"):
        await fed.propose(changes={"federation": "lungs"})


async def test_signed_digests_must_be_those_of_the_document(fed):
    document, other = fed.document(), fed.document(changes={"schedule.rounds": 9})
    body = {"agreement": document.digest, "material": document.material, "changes": {}}
    with pytest.raises(PeerFault, check=lambda problem: problem.rule == "digest"):
        await fed.act("agreement-proposed", body, document=other.raw)


@pytest.mark.parametrize(
    "stated",
    [{}, {"operators": {"van-dijk": officer_of("somebody").key_id}, "two_for": []}],
)
async def test_proposal_states_the_operators_of_its_document(fed, stated):
    document = fed.document()
    body = {"agreement": document.digest, "material": document.material, "changes": {}}
    with refusal("operators-misstated"):
        await fed.act("agreement-proposed", body | stated, document=document.raw)
    assert not fed.entries("agreement-proposed")


async def test_document_that_is_none_is_refused(fed):
    document = fed.document()
    body = {"agreement": document.digest, "material": document.material, "changes": {}}
    for raw in (b"", b"{}", document.raw + b" "):
        with pytest.raises((PeerFault, Refused)):
            await fed.act("agreement-proposed", body, document=raw)


async def test_same_proposal_twice_is_refused_in_one_sentence(fed):
    document = await fed.propose()
    with refusal("already-proposed"):
        await fed.propose(document)
    (amc,) = await fed.come("amc")
    await amc.next(Proposal)
    await amc.next(AgreementState)
    assert not [m for m in amc.inbox if isinstance(m, Proposal)]


async def test_agreement_whose_terms_are_not_built_is_refused_by_name(fed):
    with pytest.raises(Refused, match="not built"):
        await fed.propose(changes={"optimizer.name": "adam"})
