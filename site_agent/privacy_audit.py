"""What training here betrays at the least, beside what the agreement claims at the most.

A rehearsal of this hospital's own training with canaries in it (`canaries`), and how many of
them whoever sees the result finds again (`governance.privacy.auditing`). A bound above the
claim refutes the claim. An audit that could not fail would prove nothing: the same training is
audited without its noise as well, and there the bound must exceed the claim.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from governance.agreement.load import load, parse
from governance.counts import count
from governance.privacy import accountant, auditing, releases
from governance.privacy.mechanisms import KEY_BYTES, Keystream
from governance.settings import load_site
from governance.terminal import Answer, tell
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.privacy.auditing import Guesses
    from governance.privacy.releases import Release
    from site_agent.data.cohort import PatientSet
    from site_agent.jobs_apart import AuditJob

    Randomness = Callable[[], Keystream]
    Progress = Callable[[str, int, int], None]
    Trains = Callable[..., "Audited"]

CANARIES: Final = (1000, 2000, 4000, 8000, 16000)
"""How many are tried: the first with which a claim can be exceeded clearly."""
_GUESSED: Final = 5
"""Of every fifth canary it is guessed whether it was in; of the others nobody can tell."""
_CLEARLY: Final = 1.5
_LUCK: Final = 1e-6
"""How seldom chance may make the audit without noise duller than was foreseen."""
_TELLING: Final = 0.001
"""Where more of those who were in are drawn in no step, nobody is guessed to have been out."""
_FEWEST: Final = 200
_COLUMNS = ("noise", "claimed_epsilon", "at_least", "canaries", "guesses", "right", "finding")


@dataclass(frozen=True, slots=True)
class Claim:
    """What is audited: so many rounds of an agreement, and what they are said to cost."""

    agreement: Agreement
    rounds: int
    epsilon: float
    delta: float
    canaries: int

    @property
    def release(self) -> Release:
        """What all its rounds release."""
        return releases.of_a_round(self.agreement).times(self.rounds)

    @property
    def steps(self) -> int:
        """How many steps a training has."""
        return self.release.steps


@dataclass(frozen=True, slots=True)
class Audited:
    """A training that was audited, with this noise."""

    noise_multiplier: float
    guesses: Guesses
    at_least: float


def claim_of(agreement: Agreement, rounds: int | None = None) -> Claim:
    """Return what an agreement claims of its rounds, or of so many of them.

    Raises:
        Refused: `nothing-claimed` without noise, or `audit-too-weak` where no audit of this
            kind could exceed the claim.
    """
    if agreement.privacy is None or agreement.sigma == 0:
        raise Refused(
            "this agreement adds no noise, so that it claims no ε that could be audited",
            todo="`concilium-site review` says what leaves.",
            rule="nothing-claimed",
        )
    rounds = rounds or agreement.schedule.rounds
    delta = float(agreement.privacy.delta)
    release = releases.of_a_round(agreement).times(rounds)
    epsilon = accountant.epsilon([release], delta)
    ceilings = {canaries: _ceiling(canaries, release, delta) for canaries in CANARIES}
    clear = next((m for m, ceiling in ceilings.items() if ceiling > epsilon + _CLEARLY), None)
    most = CANARIES[-1]
    if clear is None and ceilings[most] <= epsilon:
        raise Refused(
            f"{count(rounds, 'round')} claim ε = {accountant.format_epsilon(epsilon)}, and "
            f"{most:,} canaries can show no more than {ceilings[most]:.2f}, "
            "even without any noise",
            todo="Audit fewer rounds, which claim less: --rounds 1",
            rule="audit-too-weak",
        )
    return Claim(agreement, rounds, epsilon, delta, clear or most)


def audited(
    claim: Claim,
    patients: PatientSet,
    *,
    declared_patients: int,
    noise: bool,
    randomness: Randomness,
    progress: Callable[[int], None],
) -> Audited:
    """Train with canaries among the patients, with the agreement's noise or without it."""
    from site_agent import canaries, training

    training.use_threads(1)  # by more, steps as small as these become far slower
    terms = training.terms_of(claim.agreement, declared_patients)
    assert terms.mechanism is not None
    sigma = terms.mechanism.noise_multiplier if noise else 0.0
    noised = replace(terms, mechanism=replace(terms.mechanism, noise_multiplier=sigma))
    watched = canaries.train(
        canaries.Rehearsal(claim.agreement, patients, noised, claim.rounds, claim.canaries),
        randomness,
        progress,
    )
    made = claim.canaries // _GUESSED
    guesses = auditing.guessed(
        watched.scores.tolist(),
        watched.inside.tolist(),
        made=made,
        outside=_guessed_outside(claim.release, made),
    )
    return Audited(sigma, guesses, auditing.lower_bound(guesses, claim.delta))


def trained(job: AuditJob, progress: Callable[[int], None]) -> dict[str, Any]:
    """Train with canaries in a worker; return the figures of it."""
    from site_agent.ready import ready

    document = parse(job.document.read_bytes())
    if job.cohort is None:
        patients, declared = synthetic(document)
    else:
        found = ready(job.cohort, document)
        patients, declared = found.train, releases.declared(found.patients)
    made = audited(
        claim_of(document.agreement, job.rounds),
        patients,
        declared_patients=declared,
        noise=job.noise,
        randomness=lambda: Keystream(os.urandom(KEY_BYTES)),
        progress=progress,
    )
    guesses = {name: getattr(made.guesses, name) for name in ("canaries", "made", "right")}
    return {"noise": made.noise_multiplier, "at_least": made.at_least, "guesses": guesses}


def confined(
    document: Document, file: Path, cohort: dict[str, Any] | None, rounds: int | None
) -> Trains:
    """Return what trains with canaries in a confined worker, where a wheel's code may run."""
    from site_agent import apart, jobs_apart

    settings = load_site(file)
    kept = apart.wheels_of(settings)

    def one(*, noise: bool, progress: Callable[[int], None]) -> Audited:
        with apart.folder(settings) as folder:
            written = folder / "agreement.json"
            written.write_bytes(document.raw)
            job = jobs_apart.AuditJob(written, cohort, rounds, noise, kept)
            said = apart.done(settings, "audit", job, progress)
        return Audited(
            float(said["noise"]),
            auditing.Guesses(**said["guesses"]),
            float(said["at_least"]),
        )

    return one


def here(claim: Claim, patients: PatientSet, declared_patients: int) -> Trains:
    """Return what trains with canaries in this process."""

    def one(*, noise: bool, progress: Callable[[int], None]) -> Audited:
        return audited(
            claim,
            patients,
            declared_patients=declared_patients,
            noise=noise,
            randomness=lambda: Keystream(os.urandom(KEY_BYTES)),
            progress=progress,
        )

    return one


def audit(
    document: Document,
    trains: Trains,
    *,
    rounds: int | None,
    without_noise: bool,
    progress: Progress,
) -> tuple[Answer, bool]:
    """Audit an agreement's training; return what to say, and whether all is as it must be.

    Args:
        document: The agreement.
        trains: Trains with canaries: `here`, or `confined`.
        rounds: How many are audited; None for all of the schedule.
        without_noise: Leave the noise out and hold what comes of it to the claim, which fails.
        progress: Told what is trained, how many steps are done, and of how many.
    """
    claim = claim_of(document.agreement, rounds)

    def one(*, noise: bool) -> Audited:
        what = "as agreed" if noise else "without noise"
        return trains(noise=noise, progress=lambda done: progress(what, done, claim.steps))

    found = [] if without_noise else [one(noise=True)]
    bare = one(noise=False)
    sees = bare.at_least > claim.epsilon
    rows = [_row(claim, one, _WITHIN[one.at_least > claim.epsilon]) for one in found]
    rows.append(_row(claim, bare, _WITHIN[sees] if without_noise else _AS_A_CHECK[sees]))
    held = not without_noise and found[0].at_least <= claim.epsilon
    return _answer(document, claim, rows), held and sees


def of_cohort(
    document: Document, file: Path, federation: str | None, cohort: str | None
) -> tuple[PatientSet, int]:
    """Return who trains of this hospital's cohort, and how many patients it declares.

    Raises:
        Refused: the cohort cannot be read, or does not meet the agreement's contract.
    """
    from site_agent.ready import ready

    found = ready(spec_of(file, federation, cohort), document)
    return found.train, releases.declared(found.patients)


def spec_of(file: Path, federation: str | None, cohort: str | None) -> dict[str, Any]:
    """Return what a worker must know to read this hospital's cohort."""
    from site_agent.checking import cohort_named, opted_out
    from site_agent.jobs import cohort_spec
    from site_agent.premises import Premises

    settings = load_site(file)
    name = cohort_named(settings, federation, cohort)
    premises = Premises(settings.state)
    premises.prepare()
    premises.held_out_secret()
    return cohort_spec(
        settings.cohorts[name],
        secret=premises.held_out_secret_path,
        opt_outs=opted_out(settings, name),
    )


def synthetic(document: Document) -> tuple[PatientSet, int]:
    """Return patients who do not exist, as many as the agreement wants at the least."""
    from site_agent import canaries

    number = max(_FEWEST, document.agreement.data.minimum_patients)
    randomness = Keystream(os.urandom(KEY_BYTES))
    return canaries.invented(document.agreement, number, randomness), releases.declared(number)


def trainer(
    document: Document,
    file: Path,
    federation: str | None,
    cohort: str | None,
    *,
    rounds: int | None,
    invented: bool,
) -> Trains:
    """Return what trains with canaries: in a confined worker where the model is a wheel's.

    Raises:
        Refused: as `claim_of` and `of_cohort` say, or `wheel-not-confined`.
    """
    claim = claim_of(document.agreement, rounds)
    if document.agreement.model.wheel is not None:
        spec = None if invented else spec_of(file, federation, cohort)
        return confined(document, file, spec, rounds)
    found = synthetic(document) if invented else of_cohort(document, file, federation, cohort)
    return here(claim, *found)


def agreement_of(file: Path, federation: str | None, named: Path | None) -> Document:
    """Return the agreement of a file, or the one that this hospital was last asked about."""
    if named is not None:
        return load(named)
    from site_agent import desk

    with desk.opened(file, federation) as m:
        return desk.proposal(m)


@contextmanager
def shown() -> Iterator[Progress]:
    """Show on standard error how far the trainings are: as a bar where it is a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(f"Training {what}", total=of)
                if not sys.stderr.isatty():
                    tell(f"Training {what}: {count(of, 'step')} …")
            bars.update(tasks[what], completed=done)

        yield progress


def _unseen(release: Release) -> float:
    """Return how likely who is in is drawn in no step, and looks as one that is out."""
    return float((1 - release.sampling_rate) ** release.steps)


def _guessed_outside(release: Release, made: int) -> int:
    """Return of how many canaries to guess that they were out: none where nobody could tell."""
    return made // 2 if _unseen(release) < _TELLING else 0


@lru_cache
def _ceiling(canaries: int, release: Release, delta: float) -> float:
    """Return the bound that guessing without noise comes to, but for the worst of luck."""
    from scipy.stats import binom

    made = canaries // _GUESSED
    unseen = _unseen(release)
    if outside := _guessed_outside(release, made):
        wrong = int(binom.ppf(1 - _LUCK, outside, unseen / (1 + unseen)))
    else:
        wrong = max(0, made - int(binom.ppf(_LUCK, canaries, (1 - unseen) / 2)))
    return auditing.lower_bound(auditing.Guesses(canaries, made, made - wrong), delta)


def _row(claim: Claim, one: Audited, finding: str) -> tuple[object, ...]:
    return (
        f"σ = {one.noise_multiplier:g}" if one.noise_multiplier else "none",
        accountant.format_epsilon(claim.epsilon),
        f"{one.at_least:.4f}",
        one.guesses.canaries,
        one.guesses.made,
        one.guesses.right,
        finding,
    )


def _answer(document: Document, claim: Claim, rows: list[tuple[object, ...]]) -> Answer:
    return Answer(
        _COLUMNS,
        rows,
        title=f"What {count(claim.rounds, 'round')} of training here betray at the least, with "
        f"{auditing.CONFIDENCE:.0%} confidence",
        notes=_NOTES,
        facts={
            "agreement": document.digest,
            "rounds": claim.rounds,
            "steps": claim.steps,
            "delta": claim.delta,
            "confidence": auditing.CONFIDENCE,
        },
    )


_WITHIN: Final = ("within the claim", "REFUTES the claim")
_AS_A_CHECK: Final = ("UNSEEN: this audit finds nothing", "exceeds it, as it must")
_NOTES: Final = (
    "Each canary was in with probability 1/2, in a coordinate of its own: the easiest to find.",
    "Nothing left this hospital and no budget was spent; what was trained is thrown away.",
)
