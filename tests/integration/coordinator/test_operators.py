"""What operators do to a running coordinator, and what they may not."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from federations import SITES, officer_of
from small_agreement import agreement_yaml

from coordinator import planning
from coordinator.console import Console, open_console
from governance import statements
from governance.agreement.load import load
from governance.identity.enrolment import mint, read_token
from governance.identity.folder import finish, prepare
from governance.identity.keys import SigningKey
from governance.ledger import remote
from governance.statements import Chain
from protos.errors import PeerFault, Refused
from protos.words import AgreementState, Digest, Proposal, TaskKind
from protos.words_operator import OperatorAct

TWO_FOR = {"operators.two_for": ["propose", "revoke", "invite"]}
BOTH = ("van-dijk", "rossi")
LATER = "2099-01-01T00:00:00.000000Z"


def refusal(rule):
    return pytest.raises(Refused, check=lambda problem: problem.rule == rule)


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
        await fed.propose(changes={"aggregation.secure": True})


# --- invitations ---------------------------------------------------------------------------


async def test_invited_site_enrols_once_and_stands_in_the_status(fed):
    await fed.enrol("site", "gemelli")
    assert "gemelli" in {row.name for row in (await fed.status()).enrolled}
    (site,) = await fed.come("gemelli")
    assert site.welcome.protocol == 1
    enrolled = fed.entries("enrolled")[-1]
    assert enrolled.body["name"] == "gemelli"
    issued = fed.entries("certificate-issued")[-1]
    assert issued.body["serial"] == fed.folders.identity("gemelli").peer.serial


async def test_name_that_is_enrolled_is_not_invited_again(fed):
    for role, name in (("site", "amc"), ("operator", "amc"), ("site", "coordinator")):
        with refusal("already-enrolled"):
            await fed.invite(role, name)


async def test_nobody_is_invited_as_the_coordinator(fed):
    with refusal("unknown-role"):
        await fed.invite("coordinator", "other")


async def test_same_name_may_be_invited_twice_and_enrols_once(fed, tmp_path):
    first, _ = await fed.invite("site", "gemelli")
    second, _ = await fed.invite("site", "gemelli")
    await fed.enrol("site", "gemelli", token=second)
    with refusal("already-enrolled"):
        await fed.enrol("site", "gemelli", token=first, place=tmp_path / "other")


async def test_token_used_twice_is_refused(fed, tmp_path):
    token, _ = await fed.invite("site", "gemelli")
    await fed.invite("site", "keeps-the-door-open")
    await fed.enrol("site", "gemelli", token=token)
    with refusal("token-used"):
        await fed.enrol("site", "gemelli", token=token, place=tmp_path / "other")


async def test_same_request_sent_again_gets_its_answer_again(fed):
    token, _ = await fed.invite("site", "gemelli")
    await fed.invite("site", "keeps-the-door-open")
    read, now = read_token(token), datetime.now(UTC)
    folder = fed.folders.sites / "gemelli"
    asked = prepare(folder, read, officers=[officer_of("gemelli")], now=now)
    first = await remote.enrol(read, asked)
    again = await remote.enrol(read, replace(asked, clock=datetime.now(UTC)))
    assert first.root == again.root
    assert len([e for e in fed.entries("enrolled") if e.body["name"] == "gemelli"]) == 1


async def test_token_for_another_name_role_or_none_is_refused(fed, tmp_path):
    token, _ = await fed.invite("site", "gemelli")
    read = read_token(token)
    for changed in (replace(read, name="ucl-2"), replace(read, role="operator")):
        with refusal("token-for-another"):
            place = tmp_path / f"{changed.role}-{changed.name}"
            await fed.enrol(changed.role, changed.name, token=mint(changed), place=place)
    with refusal("token-unknown"):
        made_up = mint(replace(read, secret=b"x" * 32))
        await fed.enrol("site", "gemelli", token=made_up, place=tmp_path / "made-up")
    await fed.enrol("site", "gemelli", token=token)


async def test_token_that_has_expired_is_refused(fed):
    soon = {"role": "site", "name": "gemelli", "secret": "0" * 64}
    status = await fed.status()
    secret = b"s" * 32
    from governance.identity.enrolment import Token, secret_hash

    now = datetime.now(UTC)
    soon |= {"secret": secret_hash(secret), "expires": statements.timestamp(now)}
    acted = await fed.operator_acts("invite", **soon)
    await fed.invite("site", "keeps-the-door-open")
    where = json.loads(acted.result)
    token = Token("hearts", "site", "gemelli", status.root, **where, secret=secret)
    with refusal("token-expired"):
        await fed.enrol("site", "gemelli", token=mint(token))


async def test_door_is_open_only_while_an_invitation_is(fed):
    await fed.stop()
    await fed.start(lingers_s=0)
    address = fed.base.addresses["enrolment"].split(":")

    async def knock():
        _, writer = await asyncio.open_connection(address[0], int(address[1]))
        writer.close()

    token, _ = await fed.invite("site", "gemelli")  # the template left one open, for edpb
    await knock()
    await fed.enrol("site", "gemelli", token=token)
    await fed.until_closed(knock)


async def test_door_stays_open_for_a_newcomer_whose_answer_was_lost(fed, tmp_path):
    token, _ = await fed.invite("site", "gemelli")
    read, now = read_token(token), datetime.now(UTC)
    request = prepare(tmp_path / "gemelli", read, officers=[officer_of("gemelli")], now=now)
    await remote.enrol(read, request)  # and the answer never arrived
    await fed.restart()
    await fed.status()  # asked of the conductor, once it went on from its store
    finish(tmp_path / "gemelli", await remote.enrol(read, request), now=now)
    assert [e.actor for e in fed.entries("enrolled")].count("site/gemelli") == 1


async def test_act_of_a_form_that_nobody_knows_is_refused(fed):
    with refusal("unknown-act"):
        await fed.operator_acts("dance")
    whole = {"role": "site", "name": "gemelli", "secret": "0" * 64, "expires": LATER}
    for part, value in (("secret", ""), ("secret", "x"), ("expires", "soon"), ("expires", "")):
        with pytest.raises(PeerFault):
            await fed.operator_acts("invite", **{**whole, part: value})
    with refusal("bad-name"):
        await fed.operator_acts("invite", **{**whole, "name": "No Name"})
    with refusal("not-enrolled"):
        await fed.revoke("nobody")


# --- two operators -------------------------------------------------------------------------


async def both_in_force(fed, **changes):
    return await fed.in_force(operators=BOTH, changes={**TWO_FOR, **changes})


async def test_act_that_needs_two_waits_until_a_second_operator_approves(fed):
    await both_in_force(fed)
    acted = await fed.revoke("amc")
    assert acted.pending
    assert not fed.entries("revoked")
    assert fed.site("amc").over is None
    (waiting,) = (await fed.status(by="rossi")).pending
    assert (waiting.act, waiting.by) == ("revoked", "operator/van-dijk")
    done = await fed.ask(lambda c: c.approve(waiting.digest[:12]), by="rossi")
    assert not done.pending
    assert len(fed.entries("revoked")[0].signatures) == 2
    assert (await fed.site("amc").ended()).rule in {"PERMISSION_DENIED", "revoked"}
    assert not (await fed.status()).pending


async def test_operator_cannot_approve_alone(fed):
    await both_in_force(fed)
    await fed.revoke("amc")
    (waiting,) = (await fed.status()).pending
    acted = await fed.ask(lambda c: c.approve(waiting.digest))
    assert acted.pending
    assert not fed.entries("revoked")


async def test_proposal_that_needs_two_takes_effect_with_the_second_signature(fed):
    await both_in_force(fed)
    document = fed.document(operators=BOTH, changes={**TWO_FOR, "optimizer.rate": 0.1})
    await fed.propose(document)
    assert (await fed.status()).proposed == ""
    (waiting,) = (await fed.status()).pending
    await fed.ask(lambda c: c.approve(waiting.digest), by="rossi")
    assert (await fed.status()).proposed == document.digest
    await fed.site("amc").next(Proposal, document=document.raw)


async def test_two_operators_are_needed_after_the_agreement_is_complete_too(fed):
    await both_in_force(fed, **{"schedule.rounds": 1})
    for site in fed.sites.values():
        site.works()
    for site in fed.sites.values():
        await site.next(AgreementState, state="complete")
    acted = await fed.revoke("amc")
    assert acted.pending
    assert not fed.entries("revoked")


async def test_waiting_act_outlives_a_restart(fed):
    await both_in_force(fed)
    await fed.revoke("amc")
    await fed.restart()
    (waiting,) = (await fed.status()).pending
    await fed.ask(lambda c: c.approve(waiting.digest), by="rossi")
    assert fed.entries("revoked")


async def test_act_that_another_overtook_no_longer_waits(fed):
    await both_in_force(fed)
    await fed.revoke("amc")
    (waiting,) = (await fed.status()).pending
    await fed.operator_acts("pause")
    assert not (await fed.status()).pending
    with pytest.raises(Refused):
        await fed.ask(lambda c: c.approve(waiting.digest), by="rossi")
    assert (await fed.revoke("amc")).pending
    (again,) = (await fed.status()).pending
    await fed.ask(lambda c: c.approve(again.digest), by="rossi")
    assert fed.entries("revoked")


async def test_operator_whose_key_is_not_in_the_agreement_in_force_is_refused(fed):
    await fed.in_force(operators=("van-dijk",))
    assert (await fed.status(by="rossi")).federation == "hearts"
    for act in ("pause", "resume"):
        with refusal("operator-not-in-agreement"):
            await fed.operator_acts(act, by="rossi")
    with refusal("operator-not-in-agreement"):
        await fed.revoke("amc", by="rossi")
    with refusal("operator-not-in-agreement"):
        await fed.invite("site", "gemelli", by="rossi")


def forged(fed, *, actor, key, by="van-dijk", chain=None):
    """Send an act signed with another key, or in another's name, over one's own connection."""

    def send(console):
        status = console.status()
        payload = statements.compose(
            "operator-acted",
            {"act": "pause"},
            actor=actor,
            key=key.key_id,
            chain=chain or Chain(status.operator_counter, Digest(status.operator_previous)),
            log=fed.folders.identity(by).log,
            at=datetime.now(UTC),
        )
        return console._send(OperatorAct(statements.sign(payload, [key])))

    return fed.ask(send, by=by)


async def test_act_in_another_operators_name_is_refused(fed):
    mine = fed.folders.identity("van-dijk").signing_key()
    with refusal("not-yours"):
        await forged(fed, actor="operator/rossi", key=mine)
    theirs = fed.folders.identity("rossi").signing_key()
    with refusal("not-yours"):
        await forged(fed, actor="operator/rossi", key=theirs)


async def test_act_signed_by_a_key_that_is_not_enrolled_is_refused(fed):
    stranger = SigningKey.generate()
    with refusal("key-not-enrolled"):
        await forged(fed, actor="operator/van-dijk", key=stranger, chain=Chain.START)


async def test_forged_act_never_waits_for_approval(fed):
    await both_in_force(fed)
    with refusal("operator-not-in-agreement"):
        await forged(fed, actor="operator/van-dijk", key=SigningKey.generate())
    assert not (await fed.status()).pending


async def test_acts_of_one_operator_at_once_are_all_taken(fed):
    await asyncio.gather(*(fed.invite("site", f"site-{n}") for n in range(5)))
    invited = [e for e in fed.entries("operator-acted") if e.body.get("act") == "invite"]
    assert len({e.counter for e in invited}) == len(invited)


# --- pausing and status --------------------------------------------------------------------


async def test_pause_lets_the_round_end_and_opens_no_further_one(fed):
    await fed.in_force(changes={"schedule.rounds": 2})
    await fed.operator_acts("pause")
    await fed.all_in()
    for name, task in (await fed.tasks(TaskKind.EVALUATE)).items():
        await fed.site(name).evaluate(task)
    await fed.until_ended((1, 1, "closed", ""))
    assert (await fed.status()).state.startswith("paused")
    assert len(fed.rounds()) == 1
    await fed.operator_acts("resume")
    await fed.tasks(round=2)


async def test_pause_outlives_a_restart(fed):
    await fed.operator_acts("pause")
    await fed.restart()
    assert (await fed.status()).state.startswith("paused")


async def test_status_says_who_is_waited_for_and_why(fed):
    document = await fed.propose()
    amc, charite = await fed.come("amc", "charite")
    await amc.consent(document)
    status = await fed.status()
    rows = {s.name: s for s in status.sites}
    assert status.state == "waits for the sites' consent"
    assert (rows["amc"].consent, rows["amc"].waiting_for) == ("in-force", "")
    assert "consent" in rows["charite"].waiting_for
    assert "connect" in rows["ucl"].waiting_for
    await charite.consent(document)
    (ucl,) = await fed.come("ucl")
    await ucl.consent(document)
    task = await amc.task()
    await amc.accept(task)
    await amc.beat(task.task, 3)
    await fed.until(lambda: fed.base.sessions.of("amc").steps_done == 3)
    status = await fed.status()
    rows = {s.name: s for s in status.sites}
    assert (status.round, status.attempt, status.round_state) == (1, 1, "training")
    assert status.state == "round 1, attempt 1: training"
    assert (rows["amc"].doing, rows["amc"].steps_done) == ("train: accepted", 3)
    assert status.agreement == document.digest
    assert status.document == document.raw
    assert status.ledger_size == len(fed.entries())


async def test_console_names_who_acts_or_says_that_it_cannot_tell(fed, tmp_path):
    def ask():
        with open_console(fed.folders.coordinator, None) as console:
            return console.status().federation

    assert await asyncio.to_thread(ask) == "hearts"
    with refusal("who-acts"):
        open_console(tmp_path, None)


async def test_console_says_in_one_sentence_that_nobody_answers(fed):
    identity = fed.folders.identity("van-dijk")
    await fed.stop()

    def ask():
        with Console(identity) as console:
            console.status()

    with pytest.raises(Exception, match="cannot be reached"):
        await asyncio.to_thread(ask)
