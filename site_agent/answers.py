"""What `status`, `models` and `key` answer, from the site's own store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.agreement.classes import Klass
from governance.agreement.load import parse
from governance.counts import count
from governance.identity.trust import trust_lines
from governance.models import catalogue
from governance.terminal import Answer
from site_agent import changing, doorbell, evidence, freshness, office, released, wheels
from site_agent.standing import standing_of
from site_agent.store import notes, terms, work
from site_agent.store.copy import Copy, made_in

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from site_agent.changing import Change
    from site_agent.membership import Membership

_NEW_LOG: Final = (
    "The coordinator lost its log and declares a new one. See what was lost, and decide: "
    "concilium-site trust --log"
)


def status(m: Membership) -> Answer:
    """Return where this site stands: agent, agreements, the task at work, the ledger."""
    live = doorbell.ring(m.premises.state)
    said = _live_of(live, m.federation)
    stored = m.store.look(lambda c: _stored(c, m))
    facts = {"site": m.site, "federation": m.federation, "running": live is not None, **said}
    rows = m.store.look(lambda c: _agreements(c, m))
    changes = m.store.look(lambda c: changing.waiting(c, m))
    return Answer(
        columns=("agreement", "title", "state", "consent", "until"),
        rows=rows,
        title=f"{m.site} in {m.federation}",
        notes=[
            *(m.store.look(lambda c: _gone(c, m)) or _sentences(said)),
            *freshness.warnings(live, m.settings),
            *_asked(rows, changes),
            *stored[0],
            *released.warnings(m),
        ],
        facts={**facts, **stored[1]},
    )


def _live_of(live: dict[str, object] | None, federation: str) -> dict[str, object]:
    told = (live or {}).get("federations", [])
    known = told if isinstance(told, list) else []
    return next((one for one in known if one.get("federation") == federation), {})


def _gone(c: Connection, m: Membership) -> list[str]:
    """Say that this hospital left and is served no more, where it did."""
    if not notes.note(c, m.federation, notes.LEFT):
        return []
    kept = m.premises.exit_of(m.federation)
    proof = f"; the certificate of it is {kept}" if kept.exists() else ""
    return [f"This hospital has left {m.federation}{proof}.", "To come back it enrols anew."]


def _sentences(said: dict[str, object]) -> list[str]:
    if not said:
        return ["The agent is not running: concilium-site run"]
    if not said.get("connected"):
        return [f"The agent runs and dials: {said.get('last_fault') or 'not connected yet'}"]
    if said.get("task"):
        steps = count(int(str(said["steps_done"])), "step")
        work = f"Connected; at work on {said['task']}, {steps} done."
        paused = said.get("paused_until")
        return [work, *([f"It pauses for the quiet hours until {paused}."] if paused else [])]
    return ["Connected; nothing to do."]


def _asked(rows: list[tuple[object, ...]], changes: list[Change]) -> list[str]:
    """Say what to do about an agreement that waits for this hospital's answer, and what not."""
    said = [_by_itself(change) for change in changes]
    noted = {change.new.digest[:12] for change in changes}
    if any(row[2] == row[3] == "proposed" and row[0] not in noted for row in rows):
        said.append("An agreement waits for your answer; read it with: concilium-site review")
    return said


def _by_itself(change: Change) -> str:
    title = change.new.agreement.title
    if change.klass is Klass.EDITORIAL:
        return f"The text of «{title}» changes; that is taken note of, nothing is asked."
    return (
        f"A change of «{title}» takes force on {change.due:%Y-%m-%d %H:%M} UTC unless you say "
        "concilium-site object --reason …; read it with: concilium-site review"
    )


def _stored(c: Connection, m: Membership) -> tuple[list[str], dict[str, object]]:
    alarm = notes.note(c, m.federation, notes.ALARM)
    fault = notes.note(c, m.federation, notes.FAULT)
    cosigned = int(notes.note(c, m.federation, notes.COSIGNED) or 0)
    newest = work.newest(c, m.federation, most=1)
    last = newest[0] if newest else None
    said = []
    shown = evidence.found(c, m.federation)
    waits = notes.note(c, m.federation, notes.WAITS)
    if notes.note(c, m.federation, notes.NEW_LOG):
        said.append(_NEW_LOG)
    if shown is not None:
        said += evidence.sentences(shown)
    elif waits:
        said.append(f"A task waits until other hospitals are seen on this history: {waits}.")
    if last is not None:
        rule = f" ({last.rule})" if last.rule else ""
        said.append(f"Last task: {last.task.task}, {last.state.value}{rule}.")
    said.append(f"Ledger cosigned up to {count(cosigned, 'entry')}.")
    if fault and not alarm:
        said.append(f"Last refused message: {fault}")
    facts: dict[str, object] = {
        "alarm": alarm,
        "waits": waits,
        "cosigned": cosigned,
        "fault": fault,
    }
    if shown is not None:
        facts |= {"head_held": shown.ours, "head_shown": shown.theirs}
    if last is not None:
        facts |= {"last_task": last.task.task, "last_task_state": last.state.value}
    return said, facts


def _agreements(c: Connection, m: Membership) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for offered in terms.every(c, m.federation):
        standing = standing_of(c, m.federation, offered.digest)
        until = f"{standing.until:%Y-%m-%d}" if standing.until else ""
        title = parse(offered.document).agreement.title
        state = standing.at(m.now()).value
        rows.append((offered.digest[:12], title, offered.state, state, until))
    return rows


def models(m: Membership) -> Answer:
    """Return which models may train here, and which final ones are held."""
    approved = set(m.settings.policy.models)
    rows: list[tuple[object, ...]] = [
        (name, "built in", "may train" if name in approved else "not approved", "", "")
        for name in catalogue.NAMES
    ]
    rows += wheels.rows(m.settings)
    held = sorted(
        m.premises.models.glob("*.safetensors"), key=lambda path: path.stat().st_mtime
    )
    copy = Copy.open(m.premises.copy_of(m.federation))
    try:
        made = copy.now(lambda c: {path.stem: made_in(c, path.stem) for path in held})
    finally:
        copy.close()
    titles = m.store.look(
        lambda c: {
            str(one.digest): parse(one.document).agreement.title
            for one in terms.every(c, m.federation)
        }
    )
    for path in held:
        round_, agreement = made[path.stem]
        told = f"round {round_}" if round_ else ""
        rows.append(
            (path.stem[:12], "held", titles.get(agreement, ""), told, path.stat().st_size)
        )
    rows += released.rows(m)
    notes = [f"Held models lie in {m.premises.models}, named by their digest."] if held else []
    return Answer(
        columns=("model", "kind", "standing", "from", "bytes"),
        rows=rows,
        title=f"Models at {m.site}",
        notes=[*notes, "What may train is for site.yaml to say, under policy.models."],
    )


def keys(m: Membership) -> str:
    """Return this hospital's public keys as lines that an auditor can trust by."""
    officers, _ = m.store.look(lambda c: office.officers_of(c, m))
    return trust_lines(m.site, {"officer": officers, "agent": [m.voice.key.key_id]})
