"""The operator's verbs about what is going on: look at it, pause it, stop it, take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coordinator.cli_options import (
    HERE,
    Folder,
    Form,
    IdentityFolder,
    Reason,
    ReasonOrNone,
    Yes,
    console_of,
    now,
    pending,
)
from governance import terminal
from governance.terminal import Format
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

verbs = typer.Typer()


@verbs.command()
def status(
    folder: Folder = HERE, identity: IdentityFolder = None, form: Form = Format.TABLE
) -> None:
    """Show what is going on, and who is waited for and why.

    Example: concilium-coordinator status --format json
    """
    from coordinator import watching

    with console_of(folder, identity) as console:
        report, released = console.status(), console.releases()
        terminal.say(watching.status(report, released.releases), form)


@verbs.command()
def doctor(
    folder: Folder = HERE, identity: IdentityFolder = None, form: Form = Format.TABLE
) -> int:
    """Find what is wrong with host, keys, database and sites, and who must act; exit 1 then.

    Example: concilium-coordinator doctor --folder fed
    """
    from coordinator import doctor as looked
    from governance import findings

    found = list(looked.examine(folder, identity))
    terminal.say(findings.answer(found, form, findings.WRONG), form)
    return 1 if findings.stopped(found) else 0


@verbs.command()
def watch(folder: Folder = HERE, identity: IdentityFolder = None) -> None:
    """Show the federation at work until Ctrl-C: live on a terminal, else a line for each news.

    Example: concilium-coordinator watch
    """
    from coordinator import watching

    watching.watch(lambda: console_of(folder, identity))


@verbs.command()
def rounds(
    last: Annotated[int, typer.Option(min=1, help="How many attempts, the newest.")] = 20,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    form: Form = Format.TABLE,
) -> None:
    """Say what became of the last rounds: who is in, who is out and why.

    Example: concilium-coordinator rounds --last 5
    """
    from coordinator import watching

    with console_of(folder, identity) as console:
        terminal.say(watching.rounds(console, last=last), form)


@verbs.command(name="round")
def round_(
    number: Annotated[int, typer.Argument(min=1, help="Which round.")],
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    form: Form = Format.TABLE,
) -> None:
    """Say of each attempt of a round who is in, who is out and why, and who is waited for.

    Example: concilium-coordinator round 3
    """
    from coordinator import watching

    with console_of(folder, identity) as console:
        terminal.say(watching.one_round(console, number), form)


@verbs.command()
def pause(
    reason: ReasonOrNone = None, folder: Folder = HERE, identity: IdentityFolder = None
) -> None:
    """Open no further round until `resume`.

    Example: concilium-coordinator pause --reason "ethics board meets"
    """
    if _acted(folder, identity, {"act": "pause"}, reason or ""):
        terminal.tell("Paused: the round at work ends, no further one opens.")


@verbs.command()
def resume(folder: Folder = HERE, identity: IdentityFolder = None) -> None:
    """Let rounds open again.

    Example: concilium-coordinator resume
    """
    if _acted(folder, identity, {"act": "resume"}, ""):
        terminal.tell("Resumed: rounds open again.")


@verbs.command(name="stop-round")
def stop_round(
    reason: Reason,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Yes = False,
) -> None:
    """Abandon the round at work now: its updates are deleted, and the federation pauses.

    Example: concilium-coordinator stop-round --reason "wrong learning rate"
    """
    with console_of(folder, identity) as console:
        report = console.status()
    if report.round_state in {"", "closed", "abandoned"}:
        raise Refused(
            "no round is at work",
            todo="See what is with: concilium-coordinator status",
            rule="no-such-round",
        )
    at = f"round {report.round}, attempt {report.attempt}"
    terminal.tell(
        f"Stopping {at}: what hospitals reserved of their privacy for it stays spent, and "
        "its updates are deleted."
    )
    if not terminal.confirmed(f"Stop {at}?", yes=yes):
        return
    body: Mapping[str, str | int]
    body = {"act": "stop-round", "round": report.round, "attempt": report.attempt}
    if _acted(folder, identity, body, reason):
        terminal.tell(f"Stopped {at}. Try it again with: concilium-coordinator resume")


@verbs.command(name="withdraw-proposal")
def withdraw_proposal(
    reason: Reason,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Yes = False,
) -> None:
    """Take the proposed agreement back; consents to it end, and the sites are told.

    Example: concilium-coordinator withdraw-proposal --reason "wrong roster"
    """
    with console_of(folder, identity) as console:
        report = console.status()
        digest = report.proposed
        if not digest:
            raise Refused(
                "no agreement is proposed",
                todo="One in force ends when its rounds are done, or by one that follows it.",
                rule="no-proposal",
            )
        if not terminal.confirmed(f"Withdraw the proposal {digest[:12]}?", yes=yes):
            return
        body = {"agreement": digest, "material": report.proposed_material}
        acted = console.signed(
            "agreement-proposal-withdrawn", body, {"reason": reason}, now=now()
        )
    if not pending(acted):
        terminal.tell(
            f"Withdrew the proposal {digest[:12]} (entry {acted.seq}); no hospital can consent "
            "to it any more, and an agreement in force goes on."
        )


def _acted(
    folder: Path, identity: Path | None, body: Mapping[str, str | int], reason: str
) -> bool:
    """Act, and tell whether it took effect; else it waits for a second operator."""
    with console_of(folder, identity) as console:
        acted = console.signed("operator-acted", body, {"reason": reason}, now=now())
    return not pending(acted)
