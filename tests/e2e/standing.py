"""Federations to act in, founded through the programs' command lines alone."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import yaml
from programs import COORDINATOR, LEDGER, PATIENCE_S, SITE, Running, call, done

from coordinator.rehearsal import acts, cast
from coordinator.rehearsal.progress import Progress
from coordinator.rehearsal.stage import Stage, free_port

ROOT: Final = Path(__file__).parents[2]
DEMO: Final = ROOT / "configs" / "breast-cancer"
SITES: Final = ("eastfield", "hillcrest", "lakeside")
_tick = threading.Event()


def agreement_with(place: Path, changes: dict[str, object], *, of: Path | None = None) -> Path:
    """Write an agreement that differs from the demonstration's at these dotted paths."""
    said = yaml.safe_load((of or DEMO / "agreement.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *steps, last = path.split(".")
        part = said
        for step in steps:
            part = part[step]
        if value is None:
            del part[last]
        else:
            part[last] = value
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
    return place


def of_three(place: Path, **changes: object) -> Path:
    """Write an agreement of three hospitals and two rounds."""
    few = {
        "sites.roster": list(SITES),
        "sites.ready_at_least": 3,
        "sites.close_at_least": 3,
        "schedule.rounds": 2,
        "quality.accept_if.not_worse_than": 0.25,
    }
    told = {name.replace("__", "."): value for name, value in changes.items()}
    return agreement_with(place, {**few, **told})


def edited(path: Path, change) -> None:
    """Change a YAML file as somebody with an editor does."""
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(said)
    path.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))


class Federation:
    """One coordinator's folder and its hospitals'; `end` ends every program of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.coordinator = place / "coordinator"
        self.passphrase = place / "passphrase"
        self.agreement = place / "agreement.yaml"
        self.running: dict[str, Running] = {}

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in (self.place / "sites").iterdir())

    def site_file(self, name: str) -> Path:
        return self.place / "sites" / name / "site.yaml"

    @property
    def secret(self) -> tuple[str, Path]:
        return "--passphrase-file", self.passphrase

    # --- the programs --------------------------------------------------------------------

    def operator(self, verb: str, *argv: object, **how):
        return call(COORDINATOR, verb, *argv, "--folder", self.coordinator, **how)

    def site(self, name: str, verb: str, *argv: object, **how):
        return call(SITE, verb, *argv, "--site", self.site_file(name), **how)

    def auditor(self, verb: str, *argv: object, **how):
        return call(LEDGER, verb, *argv, "--url", self.database, **how)

    def serve(self) -> Running:
        """Start the coordinator and wait until it serves."""
        argv = (COORDINATOR, "serve", "--folder", self.coordinator)
        running = self.running["coordinator"] = Running(*argv)
        running.until('"serving"')
        return running

    def run(self, *names: str) -> list[Running]:
        """Start agents and wait until each has a session."""
        started = [self.start(name) for name in names]
        for running in started:
            running.until("session-open")
        return started

    def start(self, name: str) -> Running:
        """Start an agent."""
        argv = (SITE, "run", "--site", self.site_file(name))
        self.running[name] = Running(*argv)
        return self.running[name]

    def end(self) -> None:
        """End every program of it."""
        for running in reversed(list(self.running.values())):
            running.end()
        self.running.clear()

    def stop(self, name: str):
        """Ask one program to end and wait for it."""
        running = self.running.pop(name)
        running.process.send_signal(signal.SIGTERM)
        return running.ended()

    # --- what people do ------------------------------------------------------------------

    def token(self, role: str, name: str, *more: object) -> str:
        said = self.operator("invite", role, name, *more)
        assert said.code == 0, said
        return said.out.strip()

    def propose(self, agreement: Path | None = None) -> None:
        done(
            *(COORDINATOR, "propose", agreement or self.agreement, "--fill-roster"),
            *("--folder", self.coordinator),
        )

    def consent(self, name: str, *more: object):
        told = ("--officer-name", "A. Weber", "--role", "director", "--yes")
        return self.site(name, "consent", *told, *self.secret, *more)

    def status(self) -> dict:
        said = done(COORDINATOR, "status", "--format", "json", "--folder", self.coordinator)
        return json.loads(said)

    def site_status(self, name: str) -> dict:
        said = self.site(name, "status", "--format", "json")
        assert said.code == 0, said
        return json.loads(said.out)

    # --- the record ----------------------------------------------------------------------

    @property
    def database(self) -> str:
        return f"sqlite:///{(self.coordinator / 'state' / 'coordinator.db').resolve()}"

    def rows(self, question: str, *values: object) -> list[tuple]:
        """Ask the coordinator's database, beside whoever writes."""
        return asked(self.coordinator / "state" / "coordinator.db", question, *values)

    def site_rows(self, name: str, question: str, *values: object) -> list[tuple]:
        return asked(self.site_file(name).parent / "state" / "site.db", question, *values)

    def entries(self, *kinds: str) -> list[tuple]:
        """Return (seq, kind, actor) of the log's entries, of these kinds."""
        rows = self.rows("SELECT seq, kind, actor FROM entries ORDER BY seq")
        return [row for row in rows if not kinds or row[1] in kinds]

    def closed(self) -> int:
        """Return how many rounds are closed."""
        return self.rows("SELECT count(*) FROM rounds WHERE state = 'closed'")[0][0]

    def until(self, holds, *, why: str = "", patience_s: float = PATIENCE_S):
        """Wait until something holds, as long as every program is alive."""
        end = time.monotonic() + patience_s
        while not (result := holds()):
            for name, running in self.running.items():
                assert running.alive, f"{name} has ended:\n{running.said[-3000:]}"
            assert time.monotonic() < end, f"waited in vain {why}; {self.tail()}"
            _tick.wait(0.1)
        return result

    def tail(self) -> str:
        told = {name: running.said[-1500:] for name, running in self.running.items()}
        return f"rounds {self.rows('SELECT round, attempt, state FROM rounds')}, {told}"

    def verified(self) -> dict:
        """Hold that an auditor finds no fault, and return the verdict."""
        said = self.auditor("verify", "--format", "json")
        assert said.code == 0, said
        told = json.loads(said.out)
        assert told["verified"], told
        return told


def asked(database: Path, question: str, *values: object) -> list[tuple]:
    """Ask an SQLite database something, without ever writing."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as c:
        return c.execute(question, values).fetchall()


# --- templates ---------------------------------------------------------------------------


def found(place: Path, agreement: Path, *, seed: int | None = None) -> None:
    """Found a federation in a folder, enrol its hospitals and propose an agreement to them.

    Nobody has consented; every program of it has ended again. A seed fixes all that is drawn.
    """
    roles = cast.prepare(agreement, DEMO / "sites", place, seed=seed)
    stage = Stage()
    progress = Progress(roles.document)
    try:
        acts.found(roles, stage, progress)
        acts.enrol(roles, progress)
        fed = Federation(place)
        fed.propose()
        for name in roles.names:
            stage.enter(
                name,
                [str(SITE), "run", "--site", str(fed.site_file(name))],
                roles.site(name) / "run.log",
            )
        fed.until(lambda: all(_has_proposal(fed, name) for name in roles.names))
    finally:
        stage.leave()


def _has_proposal(fed: Federation, name: str) -> bool:
    try:
        return bool(fed.site_rows(name, "SELECT 1 FROM agreements"))
    except sqlite3.OperationalError:  # the agent has not made the table yet
        return False


def copied(template: Path, place: Path) -> Federation:
    """Copy a federation to another place, with ports and a database of its own."""
    sockets = shutil.ignore_patterns("agent.sock")
    shutil.copytree(template, place, dirs_exist_ok=True, ignore=sockets)
    fed = Federation(place)
    settings = fed.coordinator / "coordinator.yaml"
    text = settings.read_text(encoding="utf-8")
    listen, enrolment = (f"127.0.0.1:{free_port()}" for _ in range(2))
    text = re.sub(r"(?m)^listen: \S+", f"listen: {listen}", text)
    text = re.sub(r"(?m)^(enrolment: \{listen: )[^}]+\}", rf"\g<1>{enrolment}}}", text)
    text = text.replace(str(template.resolve()), str(place.resolve()))
    settings.write_text(text, encoding="utf-8")
    coordinator = f"localhost:{listen.rsplit(':', 1)[1]}"
    for who in place.rglob("federation.json"):
        who.write_text(json.dumps(json.loads(who.read_text()) | {"coordinator": coordinator}))
    for name in fed.names:
        edited(
            fed.site_file(name),
            lambda said: said["federations"][0].update(coordinator=coordinator),
        )
    return fed


@contextmanager
def alone(lock: Path):
    """Hold a lock file, so that of several processes of tests one makes a template."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
