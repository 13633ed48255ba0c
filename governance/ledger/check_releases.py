"""State rules of models that leave; each check names the attack it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.ledger.replay import Released
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.ledger.entry import Entry
    from governance.ledger.replay import Attempt, State


def published(state: State, entry: Entry) -> None:
    """Take a release."""
    body, name = entry.body, str(entry.body["release"])
    attempt = state.attempt(body)
    # 1. One name, one model. Stops passing a second model off as the first.
    if name in state.releases:
        raise Refused(f"it publishes a second release called {name}", rule="release-taken")
    # 2. Its round was committed. Stops releasing what the gate refused or a round abandoned.
    if attempt.end != "closed":
        ended = "is open still" if attempt.end == "open" else f"was {attempt.end}"
        raise Refused(
            f"it releases round {attempt.round}, attempt {attempt.attempt}, which {ended}",
            rule="release-not-committed",
        )
    # 3. No exit has undone it. Stops a model with a hospital in that training left behind.
    if attempt.undone:
        raise Refused(
            f"it releases round {attempt.round}, which an exit had undone",
            rule="release-undone",
        )
    # 4. Its model is the one that the round made. Stops another model in its place.
    if body["model"] != attempt.made:
        raise Refused("it releases another model than its round made", rule="release-model")
    # 5. Who is inside follows from the rounds before. Stops leaving a hospital out of it.
    path = list(_back(state, attempt))
    rounds = sorted(one.round for one in path)
    sites = sorted({site for one in path for site in one.counted})
    if (body["rounds"], body["sites"]) != (rounds, sites):
        raise Refused(
            "it names other rounds or sites than those inside its model", rule="release-lineage"
        )
    state.releases[name] = Released(str(body["model"]), attempt.agreement, frozenset(sites))


def given(state: State, entry: Entry) -> None:
    """Check that the release stands: stops handing on what was recalled, or never published."""
    standing(state, entry)


def fetched(state: State, entry: Entry) -> None:
    """Check that there is such a release; one that was recalled meanwhile was fetched still."""
    _known(state, entry)


def _known(state: State, entry: Entry) -> Released:
    body, name = entry.body, str(entry.body["release"])
    released = state.releases.get(name)
    if released is None:
        raise Refused(f"nobody ever published a release called {name}", rule="unknown-release")
    if (released.model, released.agreement) != (body["model"], body["agreement"]):
        raise Refused(f"the release {name} is of another model", rule="release-model")
    return released


def standing(state: State, entry: Entry) -> Released:
    """Return the release that an entry speaks of, or raise Refused when it does not stand."""
    released = _known(state, entry)
    if released.recalled_seq is not None:
        raise Refused(
            f"the release {entry.body['release']} had been recalled at entry "
            f"{released.recalled_seq}",
            rule="release-recalled",
        )
    return released


def _back(state: State, attempt: Attempt) -> Iterator[Attempt]:
    """Walk from a committed attempt back over those whose model it is of."""
    earlier = [one for one in state.attempts.values() if one.end == "closed"]
    yield attempt
    model = attempt.model
    for one in reversed(earlier[: earlier.index(attempt)]):
        if one.made == model:
            yield one
            model = one.model
