"""The acts of a rehearsal, in order, each through the programs' ordinary command lines."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coordinator.console import open_console
from coordinator.rehearsal import cast as casting
from coordinator.rehearsal.stage import free_port, program, run, together
from coordinator.store import chronology
from governance.counts import count
from protos.errors import Refused, Unavailable

if TYPE_CHECKING:
    from coordinator.console import Console
    from coordinator.rehearsal.cast import Cast
    from coordinator.rehearsal.progress import Progress
    from coordinator.rehearsal.stage import Stage
    from protos.words_operator import StatusReport

COORDINATOR: Final = program("concilium-coordinator")
SITE: Final = program("concilium-site")
_LOOK_EVERY_S: Final = 0.15
_ROUNDS_EVERY_S: Final = 0.5
"""A look at the rounds costs the coordinator some milliseconds."""
_START_S: Final = 60.0
_MORE_FOR_EACH_S: Final = 4.0
_tick = threading.Event()


@dataclass(frozen=True, slots=True)
class Ended:
    """When a round was seen closed, in seconds since training began."""

    round: int
    seconds: float


def found(roles: Cast, stage: Stage, progress: Progress) -> None:
    """Make the federation's folder and start its coordinator."""
    progress.step("Founding the federation: authority, keys, coordinator")
    folder = str(roles.coordinator)
    listen, enrolment = free_port(), free_port()
    command = [COORDINATOR, "init", roles.document.agreement.federation, "--host", "localhost"]
    command += ["--folder", folder, "--passphrase-file", str(roles.passphrase)]
    command += ["--listen", f"127.0.0.1:{listen}", "--enrolment", f"127.0.0.1:{enrolment}"]
    run([*command, "--operator", _operator(roles)])
    log = roles.coordinator / "serve.log"
    stage.enter("the coordinator", [COORDINATOR, "serve", "--folder", folder], log)
    for name in roles.names:
        casting.dial(roles, name, f"localhost:{listen}")
    _until_it_answers(roles, stage)


def _operator(roles: Cast) -> str:
    return next(iter(roles.document.agreement.operators.keys), "operator")


def _until_it_answers(roles: Cast, stage: Stage) -> None:
    end = time.monotonic() + _patience_s(roles)
    while True:
        try:
            with open_console(roles.coordinator, None) as console:
                console.status()
        except Unavailable:
            stage.watch()
            if time.monotonic() > end:
                raise
            _tick.wait(_LOOK_EVERY_S)
        else:
            return


def enrol(roles: Cast, progress: Progress) -> None:
    """Invite every hospital and let each enrol with its one-time token."""
    progress.step(f"Enrolling {count(len(roles.names), 'hospital')} with one-time tokens")
    folder = str(roles.coordinator)
    invited = together(
        [[COORDINATOR, "invite", "site", name, "--folder", folder] for name in roles.names]
    )
    secret = ["--passphrase-file", str(roles.passphrase)]
    together(
        [
            [
                SITE,
                "enrol",
                invitation.stdout.strip(),
                "--site",
                str(roles.site_file(name)),
                *secret,
            ]
            for name, invitation in zip(roles.names, invited, strict=True)
        ]
    )


def consent(roles: Cast, stage: Stage, progress: Progress) -> None:
    """Propose the agreement; every hospital checks its data, reads the terms and consents."""
    progress.step("Proposing the agreement")
    folder = ["--folder", str(roles.coordinator)]
    run([COORDINATOR, "propose", str(roles.agreement), "--fill-roster", *folder])
    for name in roles.names:
        settings = ["--site", str(roles.site_file(name))]
        stage.enter(name, [SITE, "run", *settings], roles.site(name) / "run.log")
    _until(roles, stage, progress, lambda report: all(s.connected for s in report.sites))
    progress.step("Reading the terms, consenting with the officers' keys")
    consented = together([_consent(roles, name) for name in roles.names])
    for name, said in zip(roles.names, consented, strict=True):
        (roles.site(name) / "review.txt").write_text(said.stderr, encoding="utf-8")


def _consent(roles: Cast, name: str) -> list[str]:
    command = [SITE, "consent", "--yes", "--site", str(roles.site_file(name))]
    command += ["--passphrase-file", str(roles.passphrase)]
    return [*command, "--officer-name", f"Officer of {name}", "--role", "rehearsal"]


def train(stage: Stage, progress: Progress, console: Console) -> tuple[Ended, ...]:
    """Watch the rounds until the agreement is complete."""
    progress.step("Training: clipped, noised, over mutual TLS")
    began = time.monotonic()
    ended: list[Ended] = []
    while True:
        stage.watch()
        try:
            report = console.status()
        except Unavailable:
            _tick.wait(_LOOK_EVERY_S)
            continue
        progress.show(report)
        seconds = time.monotonic() - began
        fresh = range(len(ended) + 1, report.rounds_committed + 1)
        ended.extend(Ended(number, seconds) for number in fresh)
        if report.state.startswith("paused"):
            raise Refused(f"the federation is {report.state}", rule="rehearsal")
        if report.state.startswith("the agreement is complete"):
            return tuple(ended)
        _tick.wait(_ROUNDS_EVERY_S)


def let_finish(roles: Cast, stage: Stage, progress: Progress) -> None:
    """Wait until every hospital has the final model and has cosigned the last checkpoint."""
    progress.step("Handing the final model to every hospital")
    end = time.monotonic() + _patience_s(roles)
    while not _all_have_it(roles):
        stage.watch()
        if time.monotonic() > end:
            what = "a hospital has not got the final model, or has not cosigned the ledger"
            raise Refused(what, rule="rehearsal")
        _tick.wait(_LOOK_EVERY_S)


def _all_have_it(roles: Cast) -> bool:
    models = (roles.site(name) / "state" / "models" for name in roles.names)
    if not all(any(folder.glob("*.safetensors")) for folder in models):
        return False
    return chronology.witnesses(roles.database) == len(roles.names)


def _patience_s(roles: Cast) -> float:
    """Return how long the programs may take that all start at once on this machine."""
    return _START_S + _MORE_FOR_EACH_S * len(roles.names)


def _until(roles: Cast, stage: Stage, progress: Progress, reached: _Reached) -> None:
    end = time.monotonic() + _patience_s(roles)
    with open_console(roles.coordinator, None) as console:
        while not reached(report := console.status()):
            progress.show(report)
            stage.watch()
            if time.monotonic() > end:
                raise Unavailable("a hospital's agent did not connect", rule="rehearsal")
            _tick.wait(_LOOK_EVERY_S)


if TYPE_CHECKING:
    from collections.abc import Callable

    _Reached = Callable[[StatusReport], bool]
