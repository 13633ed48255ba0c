"""A hospital's lost officer key: operators ask, 72 hours pass in silence, it enrols anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest_asyncio
from callers import DENIED, status_of
from federations import Clock
from operators import BOTH, refusal

from governance.identity.enrolment import read_token
from governance.identity.folder import finish, prepare
from governance.identity.keys import SigningKey
from governance.ledger import remote
from governance.ledger.replacing import VETO

BEGUN = datetime.now(UTC)
HOUR = timedelta(hours=1)
OFFICER = SigningKey.from_seed(b"the new officer of amc".ljust(32))


@pytest_asyncio.fixture
async def timed(fed):
    """A coordinator by a clock that the test sets."""
    return await fed.by(Clock(BEGUN))


async def replace(fed, *, by="van-dijk"):
    return await fed.ask(
        lambda console: console.invite("site", "amc", hours=24, now=BEGUN, replace_keys=True),
        by=by,
    )


async def enrol_anew(fed, token, place):
    read, now = read_token(token), fed.clock()
    request = prepare(place, read, officers=[OFFICER], now=now)
    finish(place, await remote.enrol(read, request), now=now)


async def test_after_the_wait_it_has_new_keys_and_the_old_ones_are_let_in_nowhere(
    timed, tmp_path
):
    await timed.in_force()
    token, _ = await replace(timed)
    with refusal("replacement-waits"):
        await enrol_anew(timed, token, tmp_path / "early")
    await timed.at(BEGUN + VETO + HOUR)
    await enrol_anew(timed, token, tmp_path / "amc")
    states = {site.name: site.consent for site in (await timed.status()).sites}
    assert states["amc"] == "lapsed"
    assert await status_of(timed.folders.identity("amc")) is DENIED
    timed.verified()
    await timed.restart()
    assert await status_of(timed.folders.identity("amc")) is DENIED


async def test_a_word_of_the_old_officers_key_vetoes(timed, tmp_path):
    document = await timed.in_force()
    token, _ = await replace(timed)
    await timed.site("amc").withdraw(document)
    await timed.until(lambda: timed.entries("consent-withdrawn"))
    await timed.at(BEGUN + VETO + HOUR)
    with refusal("replacement-vetoed"):
        await enrol_anew(timed, token, tmp_path / "amc")


async def test_two_operators_ask_where_the_agreement_says_so(timed, tmp_path):
    terms = {"operators.two_for": ["replace"]}
    await timed.in_force(operators=BOTH, changes=terms)
    token, acted = await replace(timed)
    assert acted.pending
    await timed.ask(lambda console: console.approve(acted.result), by="rossi")
    await timed.at(BEGUN + VETO + HOUR)
    await enrol_anew(timed, token, tmp_path / "amc")
    assert [one.body["act"] for one in timed.entries("operator-acted")][-1] == "replace"


async def test_nobody_but_a_hospital_is_replaced(timed):
    with refusal("not-enrolled"):
        await timed.ask(
            lambda console: console.invite(
                "site", "gemelli", hours=24, now=BEGUN, replace_keys=True
            )
        )
