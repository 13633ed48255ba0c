"""`init`: a hospital's own file with its comments, from a few questions or from flags.

The header and the first records of the hospital's file are read to propose its columns; no
unsafe term is ever written.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from governance import json_schemas
from governance.identity import names
from governance.identity.enrolment import check_endpoint
from governance.settings import load_site
from protos.errors import ConciliumError, Refused
from site_agent import mapping
from site_agent.data import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from governance.agreement.schema import Agreement
    from site_agent.data.sample import Sample

_TEMPLATE: Final = """\
# This hospital's own file and its law: no agreement and no coordinator can widen what it says.
# Paths start from this file's folder.
site: 1
name: {name}
state: state/                     # keys, journal, budget, copies of the ledger; mode 0700
officer_key: keys/officer.pem     # passphrase-encrypted; may live on another machine

federations:                      # proxy: none | env | http://host:port
  - {{coordinator: "{coordinator}", folder: {folder}, cohort: {cohort}, proxy: "{proxy}"}}

cohorts:                          # a cohort is a name; its privacy budget outlives agreements
  {cohort}:
    source: {{csv: {csv}, encoding: {encoding}{decimal}}}
    patient_id: {patient_id}      # tells patients apart; it never leaves
    held_out: 0.2                 # the share that never trains, whatever comes later
    map:                          # agreement's feature: this hospital's column, unit and codes
{map}

policy:
  cap: {{epsilon: {cap}, delta: 1.0e-5}}     # over everything ever released from a cohort
  minimum_sites: 3                # no round with fewer hospitals
  purposes: [DUO:0000006]         # health, medical or biomedical research
  models: [builtin:linear, builtin:mlp]
  require_secure_aggregation: true              # true: no agreement without masked sums
  # quiet_hours: {{days: [mon, tue, wed, thu, fri], from: "07:00", to: "19:00", zone: {zone}}}
  bytes_per_day: 5GiB             # the most that may leave within 24 hours
  witness_lag: 24h
  unsafe: []                      # terms accepted here although they weaken a guarantee

resources: {{threads: {threads}, memory: 8GiB, device: auto, isolation: required}}
"""
_COHORT_MAP: Final = (
    "age: {column: AGE}      # LOOK: your columns, one line for each feature",
)


@dataclass(frozen=True, slots=True)
class Outline:
    """What the file is made of; `lines` is its map."""

    name: str
    coordinator: str
    folder: str
    cohort: str
    csv: str
    patient_id: str
    proxy: str = "none"
    cap: float = 8.0
    encoding: str = "utf-8"
    decimal: str = "point"
    lines: Sequence[str] = field(default=_COHORT_MAP)


@dataclass(frozen=True, slots=True)
class Said:
    """What was said on the command line; None is asked for, or has its default."""

    name: str | None = None
    coordinator: str | None = None
    folder: str | None = None
    cohort: str | None = None
    csv: str | None = None
    patient_id: str | None = None
    proxy: str | None = None
    cap: float | None = None
    agreement: Path | None = None


def made(said: Said, place: Path, ask: Callable[[str], str] | None) -> Outline:
    """Return the outline: from what was said, from answers, from the file's head.

    Args:
        said: The flags.
        place: The folder that paths start from.
        ask: Puts a question on a terminal; None takes every default.

    Raises:
        Refused: no name was said and nobody can be asked, or an answer cannot be.
    """
    if ask is None and said.name is None:
        raise Refused(
            "a hospital's file needs its name",
            todo="Say --name: the name that the operator invites; or run init on a terminal.",
            rule="name-needed",
        )
    put = partial(_answer, ask)
    name = put(said.name, "This hospital's name (a-z, 0-9, -)", "hospital", _name)
    coordinator = put(
        said.coordinator, "The coordinator's host:port", "localhost:8443", _endpoint
    )
    agreement = _agreement(said, ask)
    known = agreement.federation if agreement is not None else None
    federation = said.folder or put(known, "The federation's name", "federation", _name)
    folder = said.folder or f"enrolled/{federation}"
    csv = put(said.csv, "The patients' CSV file", "patients.csv", str)
    seen = _seen(place / csv, named=said.csv is not None, asked=ask is not None)
    guess = (seen.patient_column() if seen is not None else "") or "ID"
    patient_id = put(said.patient_id, "Its column of patients", guess, str)
    cohort = put(said.cohort, "A name for these patients", "patients", _name)
    proxy = put(said.proxy, "Proxy: none, env or http://host:port", "none", str)
    cap = None if said.cap is None else str(said.cap)
    cap = put(cap, "The most ε ever spent on a patient", "8.0", lambda text: str(float(text)))
    outline = Outline(name, coordinator, folder, cohort, csv, patient_id, proxy, float(cap))
    return outline if seen is None else _with(outline, seen, agreement)


def _with(outline: Outline, seen: Sample, agreement: Agreement | None) -> Outline:
    """Return the outline with what the file's head shows."""
    if agreement is None:
        lines = mapping.of_columns(seen, patient_id=outline.patient_id)
    else:
        lines = mapping.proposed(agreement, seen, patient_id=outline.patient_id)
    return replace(outline, encoding=seen.encoding, decimal=seen.decimal, lines=lines)


def write(file: Path, outline: Outline) -> None:
    """Write a site.yaml with comments, and its schema, to be completed in an editor.

    Raises:
        Refused: there is one already, or it would not be a valid one.
    """
    if file.exists():
        raise Refused(
            "this file exists and is never overwritten", where=str(file), rule="exists"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json_schemas.modeline("site") + _text(outline), encoding="utf-8")
    try:
        load_site(file)
    except Refused:
        file.unlink()
        raise
    json_schemas.write(file.parent, "site")


def _text(outline: Outline) -> str:
    lines = list(outline.lines)
    if not any(not line.startswith("#") for line in lines):
        lines = [*lines, *_COHORT_MAP]
    return _TEMPLATE.format(
        name=outline.name,
        coordinator=outline.coordinator,
        folder=mapping.quoted_path(outline.folder),
        cohort=outline.cohort,
        csv=mapping.quoted_path(outline.csv),
        patient_id=mapping.quoted(outline.patient_id),
        proxy=outline.proxy,
        cap=outline.cap,
        encoding=outline.encoding,
        decimal=", decimal: comma" if outline.decimal == "comma" else "",
        map="\n".join(f"      {line}" for line in lines),
        zone="Europe/Berlin",
        threads=min(4, len(os.sched_getaffinity(0))),
    )


def asker() -> Callable[[str], str] | None:
    """Return what asks on a terminal, or None where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> str:
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt
        return line.strip()

    return ask


def _answer(
    ask: Callable[[str], str] | None,
    said: str | None,
    question: str,
    default: str,
    check: Callable[[str], str],
) -> str:
    """Return what was said, or answered, or the default; ask again what cannot be."""
    if said is not None:
        return check(said)
    if ask is None:
        return check(default)
    while True:
        answer = ask(f"{question} [{default}]: ") or default
        try:
            return check(answer)
        except (ConciliumError, ValueError) as problem:
            sys.stderr.write(f"  {problem}\n")


def _name(text: str) -> str:
    if not names.is_name(text):
        raise Refused(
            f"{text!r} is no name: lower-case letters, digits and hyphens, a letter first",
            rule="bad-name",
        )
    return text


def _endpoint(text: str) -> str:
    return check_endpoint(text, what="the coordinator")


def _agreement(said: Said, ask: Callable[[str], str] | None) -> Agreement | None:
    from governance.agreement.load import load

    if said.agreement is not None:
        return load(said.agreement).agreement
    if ask is None:
        return None
    while answer := ask("The agreement's file, if you have it [none]: "):
        try:
            return load(Path(answer)).agreement
        except (ConciliumError, OSError) as problem:
            sys.stderr.write(f"  {problem}\n")
    return None


def _seen(path: Path, *, named: bool, asked: bool) -> Sample | None:
    """Return the head of the patients' file, or None where it cannot be looked at yet.

    Raises:
        Refused: it was named on the command line. A slip there would leave a site.yaml that
            init never overwrites.
    """
    if not path.exists() and not named and not asked:
        return None
    try:
        return sample.look(path)
    except Refused as problem:
        if named:
            raise
        sys.stderr.write(f"note: {problem}\nIts columns are to be mapped by hand.\n")
        return None


def notes(file: Path, outline: Outline, agreement: Path | None) -> Iterator[str]:
    """Say what was written, what to look at, and what comes next."""
    doubtful = list(mapping.doubts(outline.lines))
    yield f"Wrote {file}."
    if doubtful:
        yield f"Look at {len(doubtful)} of its lines: they are marked {mapping.LOOK}."
    then = agreement or "AGREEMENT"
    yield f"Next: concilium-site check {then}, then preflight, then enrol TOKEN"
