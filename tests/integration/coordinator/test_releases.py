"""Models that leave: what an operator releases, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime

import pytest
from federations import SITES, officer_of
from operators import BOTH, refusal
from released import release, trained, witnessed

from coordinator import handing
from governance import canonical
from governance.ledger import release_folder
from protos.errors import Unavailable
from protos.words import BlobRef

TWO = {"operators.two_for": ["release", "recall"]}


async def folder_of(fed, place, name="v1", *, wait_s=0):
    def asking(console):
        handing.fetch(console, name, place, wait_s=wait_s, tell=lambda _: None)

    await fed.ask(asking)
    return place


async def told(fed, kind, name="v1", **words):
    def asking(console):
        return handing.say(console, kind, name, words, now=datetime.now(UTC))

    return await fed.ask(asking)


async def test_a_release_is_a_folder_that_is_verified_offline(fed, tmp_path):
    document = await trained(fed)
    acted = await release(fed)
    await witnessed(fed, *SITES)
    place = await folder_of(fed, tmp_path / "v1")
    trusted = {name: frozenset({officer_of(name).key_id}) for name in SITES}
    verdict = release_folder.verify(place, trusted=trusted)
    assert verdict.verified, verdict.sentence
    assert (verdict.proven.published.seq, verdict.proven.witnesses) == (acted.seq, SITES)
    assert verdict.proven.agreement.digest == document.digest
    (closed,) = fed.entries("round-closed")
    assert verdict.proven.published.body["model"] == closed.body["model_out"]
    card = json.loads((place / "model-card.json").read_bytes())
    assert card["sites"] == {"count": 3, "names": []}
    assert "no differential privacy" in (place / "model-card.md").read_text()


async def test_the_card_names_the_hospitals_where_the_agreement_says_so(fed):
    await trained(fed, changes={"release": {"sites": "names"}})
    drafted = await fed.ask(lambda console: console.draft(1, "v1"))
    assert canonical.decode(drafted.card)["sites"]["names"] == list(SITES)


async def test_a_release_waits_until_more_than_half_cosigned_its_round(fed):
    await trained(fed, witnesses=["amc"])
    with pytest.raises(Unavailable, check=lambda p: p.rule == "release-not-witnessed"):
        await release(fed)
    await witnessed(fed, "ucl")
    await release(fed)


async def test_a_folder_waits_until_more_than_half_cosigned_the_release(fed, tmp_path):
    await trained(fed)
    await release(fed)
    await witnessed(fed, "amc")
    with pytest.raises(Unavailable, check=lambda p: p.rule == "release-not-witnessed"):
        await folder_of(fed, tmp_path / "v1")
    waiting = asyncio.create_task(folder_of(fed, tmp_path / "v1", wait_s=60))
    await witnessed(fed, "charite")
    assert release_folder.verify(await waiting).verified


async def test_no_release_of_a_round_that_committed_nothing(fed):
    await trained(fed)
    with refusal("release-not-committed"):
        await release(fed, round_=2)


async def test_one_name_is_one_release(fed):
    await trained(fed)
    await release(fed)
    with refusal("release-taken"):
        await fed.ask(lambda console: console.draft(1, "v1"))
    again = await fed.ask(lambda console: handing.drafted(console, 1, "v1"))
    assert again is None


async def test_a_release_waits_for_the_second_operator_where_two_must(fed):
    await trained(fed, operators=BOTH, changes=TWO)
    acted = await release(fed)
    assert acted.pending
    assert not fed.entries("release-published")
    await fed.ask(lambda console: console.approve(acted.result), by="rossi")
    (published,) = fed.entries("release-published")
    assert len(published.signatures) == 2


async def test_a_card_that_the_record_does_not_make_is_not_published(fed):
    await trained(fed)

    def asking(console):
        drafted = handing.drafted(console, 1, "v1")
        card = canonical.decode(drafted.card)
        card["evaluation"]["pooled"] = {"auc": "0.999", "patients": 5000}
        forged = canonical.encode(card)
        body = canonical.decode(drafted.body) | {"card": hashlib.sha256(forged).hexdigest()}
        return console.act("release-published", body, now=datetime.now(UTC), document=forged)

    with refusal("release-card"):
        await fed.ask(asking)


async def test_who_was_given_a_release_is_recorded_beside_the_ledger(fed):
    await trained(fed)
    await release(fed)
    await told(fed, "release-given", recipient="a registry")
    (given,) = fed.entries("release-given")
    assert set(given.commitments) == {"recipient"}
    assert "registry" not in given.payload.decode()
    with refusal("unknown-release"):
        await told(fed, "release-given", "v9", recipient="a registry")


async def test_a_recalled_release_is_handed_to_nobody(fed, tmp_path):
    await trained(fed)
    await release(fed)
    await told(fed, "release-recalled", reason="wrong target")
    await witnessed(fed, *SITES)
    with refusal("release-recalled"):
        await folder_of(fed, tmp_path / "v1")
    with refusal("release-recalled"):
        await told(fed, "release-given", recipient="a registry")
    assert set(fed.entries("release-recalled")[0].commitments) == {"reason"}


async def test_a_model_that_was_not_released_is_not_downloaded(fed, tmp_path):
    await trained(fed)
    (closed,) = fed.entries("round-closed")

    def asking(console):
        with (tmp_path / "model").open("wb") as file:
            console.download(BlobRef(closed.body["model_out"], 1), file)

    with refusal("unknown-release"):
        await fed.ask(asking)
