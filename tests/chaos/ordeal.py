"""A disturbed run: what a schedule says befalls a federation while it trains to its end.

A program that dies is started again, as systemd does, and by nobody else: whatever does not go
on by itself then is a finding.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Final

import faults
import judging
import standing
from cuts import Cuts
from faults import COORDINATOR, Fault
from five import LAST, SITES, dialling, listening, port_of
from judging import Outcome
from program import Program
from wires import Wires

_LOOK_EVERY_S: Final = 0.05
_TASKS: Final = "SELECT task, state FROM tasks ORDER BY rowid"
_tick = threading.Event()


class Ordeal:
    """A disturbed run of a federation that was founded before."""

    def __init__(
        self,
        template: Path,
        place: Path,
        *,
        rounds: int,
        light: bool,
        waits: bool = True,
        wired: bool = False,
    ) -> None:
        self.fed = standing.copied(template / "fed", place)
        self.rounds, self.light, self.waits = rounds, light, waits
        self.outcome = Outcome()
        self.programs: dict[str, Program] = {}
        port = port_of(self.fed)
        self.cuts = Wires(port, SITES) if wired else Cuts(("127.0.0.1", port), SITES)
        if wired:
            listening(self.fed, f"0.0.0.0:{port}")

    def run(
        self,
        schedule: tuple[Fault, ...] = (),
        *,
        patience_s: float = 600,
        seed: int = 0,
        tell=None,
    ) -> Outcome:
        """Let it train to its end while the schedule befalls it, and judge what came of it."""
        self._chance = random.Random(seed + 1)
        self._tell = tell or (lambda _: None)
        with self.cuts:
            self._dial()
            try:
                self._start()
                self._endure(schedule, patience_s)
                self._end()
            finally:
                for program in self.programs.values():
                    if program.running is not None:
                        program.running.signal(signal.SIGKILL)
                        program.running.ended()
        said = {name: program.lines for name, program in self.programs.items()}
        judging.judge(self.fed, said, self.rounds, self.outcome, waits=self.waits)
        return self.outcome

    def _dial(self) -> None:
        for name, line in self.cuts.lines.items():
            dialling(self.fed, name, line.port)

    def _start(self) -> None:
        folder = self.fed.coordinator
        kind = "light" if self.light else "site"
        self.programs[COORDINATOR] = Program(COORDINATOR, "coordinator", folder)
        for name in SITES:
            before = self.cuts.before(name)
            self.programs[name] = Program(name, kind, self.fed.site_file(name), before)
        for program in self.programs.values():
            program.running.until("serving" if program.name == COORDINATOR else "session-open")
        said = self.fed.consent(LAST)
        assert said.code == 0, said

    # --- while it lasts --------------------------------------------------------------------

    def _endure(self, schedule: tuple[Fault, ...], patience_s: float) -> None:
        began, waiting = time.monotonic(), list(schedule)
        while not self._is_over():
            now_s = time.monotonic() - began
            while waiting and waiting[0].at_s <= now_s:
                self._inject(waiting.pop(0), now_s)
            self._look(now_s)
            if now_s > patience_s:
                self._finding(f"it hangs: {self._where()}")
                break
            _tick.wait(_LOOK_EVERY_S)
        self.outcome.figures["seconds"] = round(time.monotonic() - began, 1)
        self.outcome.figures["deaths"] = {n: p.deaths for n, p in self.programs.items()}
        self.outcome.figures |= self.cuts.figures()

    def _look(self, now_s: float) -> None:
        for program in self.programs.values():
            if odd := program.look(now_s):
                self._finding(odd)

    def _inject(self, fault: Fault, now_s: float) -> None:
        self._tell(f"{now_s:7.2f} s  {self._closed()} closed | {fault}")
        if fault.kind in faults.LINES:
            self.cuts.do(fault)
            return
        for name in fault.whom:
            self._befall(self.programs[name], fault, now_s)

    def _befall(self, program: Program, fault: Fault, now_s: float) -> None:
        again = now_s if program.name == COORDINATOR else now_s + self._chance.uniform(0, 2)
        match fault.kind:
            case faults.KILL_WORKER:
                program.kill_workers()
            case faults.KILL_BOTH:
                program.kill_workers()
                program.kill(again_at=again)
            case faults.KILL:
                program.kill(again_at=now_s + fault.seconds if fault.seconds else again)
            case faults.FREEZE:
                program.freeze()
            case faults.THAW:
                program.thaw()
            case faults.ASK:
                program.ask_to_end()
            case _:
                program.kill()
                program.start(fault.point, fault.turn)

    def _finding(self, said: str) -> None:
        self._tell(f"FINDING {said}")
        self.outcome.findings.append(said)

    def _rows(self, question: str) -> list[tuple]:
        return judging.rows(self.fed.rows, question)

    def _closed(self) -> int:
        rows = self._rows("SELECT count(*) FROM rounds WHERE state = 'closed'")
        return rows[0][0] if rows else 0

    def _is_over(self) -> bool:
        if self._closed() < self.rounds:
            return False
        return (
            all(
                any(
                    (self.fed.place / "sites" / name / "state" / "models").glob("*.safetensors")
                )
                for name in SITES
            )
            and self._all_cosigned()
        )

    def _all_cosigned(self) -> bool:
        rows = self._rows(
            "SELECT count(DISTINCT site) FROM cosignatures"
            " WHERE size = (SELECT max(size) FROM checkpoints)"
        )
        return bool(rows) and rows[0][0] >= len(SITES)

    def _where(self) -> str:
        rounds = self._rows("SELECT round, attempt, state FROM rounds ORDER BY 1, 2")[-3:]
        tasks = {
            name: judging.rows(partial(self.fed.site_rows, name), _TASKS)[-2:] for name in SITES
        }
        tails = {name: "".join(p.lines[-6:]) for name, p in self.programs.items()}
        return f"{rounds} {tasks} {tails}"

    def _end(self) -> None:
        for name in reversed(list(self.programs)):
            self.programs[name].thaw()
            if odd := self.programs[name].stop():
                self._finding(odd)
