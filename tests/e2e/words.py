"""The commands of a document and what it says they print; both are compared by a test.

A block of code in which a line starts with `$ ` shows a command and its output. What stands in
comments of HTML prepares the ground, unseen by readers:

    <!-- do: COMMAND -->                            runs to its end
    <!-- start NAME until PATTERN: COMMAND -->      goes on running
    <!-- end NAME -->
    <!-- in FOLDER -->                              the commands from here on run there
    <!-- loosely -->                                the next output: the first word of each line

In an output, a line `…` stands for any lines. Numbers, digests and times are compared by their
presence alone, as they differ from run to run. The ports 18443 and 18444 are free ones instead,
and an act that waits is approved by the digest that was printed for it. What a person would
type at a prompt comes from options that the page does not show.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from programs import PATIENCE_S, Running

from coordinator.rehearsal.stage import free_port

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent
_SECRET = "--passphrase-file {home}/pass"
_TYPED = (
    (r"enrol (?!--response)", _SECRET),
    (r"consent (?!.*--(export|import))", f"--yes {_SECRET}"),
    (r"consent .*--export", "--yes"),
    (r"sign", f"--yes {_SECRET}"),
    (r"(decline|resume)", _SECRET),
)
"""What a person would type at a prompt."""
_COMMENT = re.compile(
    r"^<!-- (do|start|end|loosely|in)(?: (\S+))?(?: until (.+?))?(?:: (.+?))? -->$"
)
_HOSPITAL = "eastfield|harbour-university|hillcrest|lakeside|north-general"
_VARIES = re.compile(
    _HOSPITAL
    + r"|[0-9A-Za-z+/]{24,}=*|\b(?=\w*\d)[0-9a-f]{6,64}\b|[+-]?\d[\d.:TZ/-]*|[\w.-]*\d[\w-]*…?"
)


@dataclass(frozen=True)
class Step:
    """One thing that a document does; `line` is where it stands."""

    line: int
    act: str
    command: str = ""
    name: str = ""
    pattern: str = ""
    expected: str = ""


def steps_of(document: Path) -> list[Step]:
    """Read the steps of a document, in order."""
    lines = document.read_text(encoding="utf-8").splitlines()
    steps: list[Step] = []
    at = 0
    while at < len(lines):
        if told := _COMMENT.match(lines[at].strip()):
            act, name, pattern, command = (part or "" for part in told.groups())
            steps.append(Step(at + 1, act, command, name, pattern))
        elif lines[at].lstrip().startswith("$ ") and lines[at].startswith("    "):
            end = _end_of_block(lines, at)
            steps += _shown(lines[at:end], at + 1)
            at = end
            continue
        at += 1
    return steps


def _end_of_block(lines: list[str], at: int) -> int:
    end = at
    while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
        end += 1
    return end


def _shown(lines: list[str], first: int) -> list[Step]:
    steps: list[Step] = []
    for number, line in enumerate(textwrap.dedent("\n".join(lines)).splitlines(), first):
        if line.startswith("$ "):
            steps.append(Step(number, "show", line.removeprefix("$ ")))
        elif steps:
            last = steps[-1]
            steps[-1] = Step(
                last.line, "show", last.command, expected=last.expected + line + "\n"
            )
    return steps


class Shell:
    """A folder in which the commands of a document run, one after the other."""

    def __init__(self, home: Path, *, printed: dict[str, str] | None = None) -> None:
        self.home = home
        self.environment = {
            **{
                name: os.environ[name]
                for name in ("HOME", "LANG", "TERM")
                if name in os.environ
            },
            "PATH": f"{PROGRAMS}:{HERE / 'bin'}:{os.environ['PATH']}",
            "COLUMNS": "100",
        }
        self.running: dict[str, Running] = {}
        self._here = home
        self.printed = printed or {}
        self._known = {port: str(free_port()) for port in ("18443", "18444")}
        self.environment["PORT"] = self._known["18443"]

    def take(self, step: Step) -> str:
        """Do a step; return what its command printed, the first time that it ran."""
        if step.act == "loosely":
            return ""
        if step.act == "in":
            self._here = self.home / step.name
            return ""
        if step.act == "end":
            self.running.pop(step.name).end()
            return ""
        if step.act == "start":
            how = {"cwd": self._here, "env": self.environment}
            argv = ("/bin/bash", "-c", self._made(step.command))
            started = self.running[step.name] = Running(*argv, **how)
            started.until(step.pattern)
            return ""
        return self._ran(step) if step.act == "do" else self._shown(step)

    def _shown(self, step: Step) -> str:
        if step.command.startswith("concilium-coordinator rehearse"):  # the whole: only once
            if step.command not in self.printed:
                self.printed[step.command] = self._ran(step)
            return self.printed[step.command]
        printed = self._ran(step)
        if waits := re.search(r"concilium-coordinator approve ([0-9a-f]{12})", printed):
            self._known["APPROVED"] = waits[1]
        return printed

    def _made(self, command: str) -> str:
        approved = self._known.get("APPROVED", "")
        for verb, typed in _TYPED:
            if re.match(rf"concilium-site {verb}", command):
                command += " " + typed.format(home=self.home)
        command = re.sub(r"(?<=approve )[0-9a-f]{12}", approved or r"\g<0>", command)
        return re.sub("18443|18444", lambda port: self._known[port[0]], command)

    def _ran(self, step: Step) -> str:
        done = subprocess.run(
            ["/bin/bash", "-c", self._made(step.command)],
            cwd=self._here,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0 or step.act == "show", f"line {step.line}: {done.stdout}"
        return done.stdout.replace(str(self.home), "…")

    def end(self) -> None:
        """End whatever still runs."""
        for running in reversed(self.running.values()):
            running.end()


def begins_alike(expected: str, printed: str) -> bool:
    """Tell whether two outputs have lines that begin with the same words."""
    said, told = (
        [_masked(line).split()[0] for line in text.splitlines() if line.strip()]
        for text in (expected, printed)
    )
    return said == told


def fits(expected: str, printed: str) -> bool:
    """Tell whether an output is the one that a document shows, by whichever hospital."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(_masked(line)) + r"\n"
        for line in expected.strip().splitlines()
    )
    told = "".join(_masked(line) + "\n" for line in printed.strip().splitlines())
    return re.fullmatch(pattern, told) is not None


def _masked(line: str) -> str:
    return " ".join(_VARIES.sub("#", line).split())
