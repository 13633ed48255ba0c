"""What must hold of a federation at the end of a disturbed run."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from five import SITES
from programs import LEDGER, SITE, call, done

from governance.privacy.accountant import epsilon
from governance.privacy.releases import Release

_TOUCH: Final = re.compile(
    r'Traceback|"event": "(bug|crashed|task-crashed|stuck|file-corrupt|spool-corrupt|'
    r'message-dropped|store-rolled-back|[a-z-]*alarm[a-z-]*|statement-refused)"'
)
"""What no program may have had to say."""


@dataclass
class Outcome:
    """What a run came to: models by round, and whatever does not hold."""

    models: dict[int, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)


def rows(ask, question: str, *values: object) -> list[tuple]:
    """Return what a database answers; nothing while its program is being started."""
    with suppress(sqlite3.OperationalError):
        return ask(question, *values)
    return []


def judge(
    fed, said: dict[str, list[str]], rounds: int, outcome: Outcome, *, waits: bool = True
) -> None:
    """Note whatever does not hold; `said` is what each program said.

    `waits` is whether each round waits for everybody.
    """
    found = outcome.findings
    for name, lines in said.items():
        found += [
            f"{name} said {''.join(lines[number : number + 15])[:2000]}"
            for number, one in enumerate(lines)
            if _TOUCH.search(one)
        ]
    found += _of_rounds(fed, rounds, outcome, waits=waits)
    found += _of_the_log(fed, outcome)
    for name in SITES:
        found += _of_budget(fed, name, outcome)
        found += _of_uploads(fed, name, outcome)
    spool = fed.coordinator / "state" / "spool"
    found += [f"the spool still holds {one}" for one in spool.rglob("*") if one.is_file()]


def _of_rounds(fed, rounds: int, outcome: Outcome, *, waits: bool):
    """Each round is closed once, at its first attempt, with whoever it waits for."""
    known = fed.rows(
        "SELECT round, attempt, state, model_out, state_out, sites_out, reason FROM rounds"
        " ORDER BY round, attempt"
    )
    for round_, attempt, state, model, control, out, reason in known:
        if state != "closed":
            yield f"round {round_}.{attempt} was {state}: {reason} {out}"
            continue
        if round_ in outcome.models:
            yield f"round {round_} was closed twice"
        outcome.models[round_] = f"{model} {control}"
        if waits and json.loads(out):
            yield f"round {round_} was closed without {out}"
    if list(outcome.models) != list(range(1, rounds + 1)):
        yield f"rounds {list(outcome.models)} are closed"
    said = fed.rows("SELECT count(*) FROM entries WHERE kind = 'round-closed'")
    if said != [(rounds,)]:
        yield f"the log says {said} times that a round was closed"


def _of_the_log(fed, outcome: Outcome):
    """An auditor who has the hospitals' keys from elsewhere finds no fault."""
    trust = fed.place / "trust.keys"
    keys = [done(SITE, "key", "--site", fed.site_file(name)) for name in SITES]
    trust.write_text("".join(keys), encoding="utf-8")
    asked = ("--url", fed.database, "--trust", trust, "--format", "json")
    said = call(LEDGER, "verify", *asked)
    told = json.loads(said.out) if said.out.startswith("{") else {}
    if said.code != 0 or not told.get("verified"):
        yield f"the ledger does not verify: {said.out[-2000:]} {said.err[-500:]}"
    outcome.figures["entries"] = told.get("entries")


def _of_budget(fed, name: str, outcome: Outcome):
    """A hospital's own store counts all that the log knows of, and each attempt once."""
    release = "sampling_rate, noise_multiplier, steps, delta"
    kept = fed.site_rows(name, f"SELECT round, attempt, {release} FROM reservations")
    own = [row[:2] for row in kept]
    told = fed.rows("SELECT round, attempt FROM reservations WHERE site = ?", name)
    made = fed.rows(
        "SELECT trained_in, attempt FROM contributions WHERE site = ? AND state = 'made'", name
    )
    for what, places in (("store", own), ("log", told), ("log's contributions", made)):
        if len(places) != len(set(places)):
            yield f"the {what} of {name} has an attempt twice: {sorted(places)}"
        if not set(places) <= set(own):
            yield f"{name} counts {sorted(own)}, and the {what} {sorted(places)}"
    if not set(made) <= set(told):
        yield f"{name} contributed {sorted(made)}, and the log has reserved {sorted(told)}"
    total = epsilon([Release(*row[2:5]) for row in kept], kept[0][5]) if kept else 0.0
    outcome.figures.setdefault("epsilon", {})[name] = round(total, 4)


def _of_uploads(fed, name: str, outcome: Outcome):
    """What is sent again of an update is its rest; one that is in the log is not sent again."""
    ask = partial(fed.site_rows, name)
    sent = ask("SELECT digest, bytes, at FROM sent WHERE kind = 'update' ORDER BY place")
    arrived = dict(
        fed.rows(
            "SELECT u.update_digest, e.received_at FROM contributions u"
            " JOIN entries e ON e.seq = u.seq WHERE u.site = ? AND u.state = 'made'",
            name,
        )
    )
    for digest, size, at in sent:
        if size and digest in arrived and at > arrived[digest]:
            yield f"{name} sent {digest[:12]} at {at} which was in since {arrived[digest]}"
    outcome.figures.setdefault("uploads", {})[name] = len(sent)
