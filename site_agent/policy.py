"""The hospital's law: what must hold before a task is taken, each rule with what it stops.

The rules are numbered and fail closed; the first that is broken is the answer, and its name is
all that the coordinator learns. Rules 1 to 7, of what an agreement says, are in
`site_agent.acceptance`; here is what holds now. The budget is the last rule (`reservation`),
since it must be reserved in the transaction that checks it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance import consent as consents
from governance import models, tensors
from governance.agreement.schema import unsafe_terms
from governance.consent import Consent
from governance.exits import Decision
from governance.hours import quiet_ahead, runs_into
from governance.identity.clock import SKEW_LIMIT
from governance.statements import timestamp
from protos.errors import Refused
from protos.words import TaskKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.settings import SitePolicy
    from protos.words import Task
    from site_agent.acceptance import Law

QUIET: Final = "quiet-hours"
_NO_PRIVACY: Final = frozenset({"no-noise", "no-privacy"})


@dataclass(frozen=True, slots=True)
class Standing:
    """The site's own consent to an agreement, as its journal has it.

    `cap` is ε (infinite where the officer accepted no noise), `until` an instant; where the
    officer never signed, the digests are empty and nothing else counts.
    """

    state: Consent
    agreement: str = ""
    material: str = ""
    until: datetime | None = None
    cap: float = 0.0
    delta: float = 0.0
    declared_patients: int = 0
    cohort: str = ""

    def at(self, now: datetime) -> Consent:
        """Return the state that counts at a moment: one whose time is over has lapsed."""
        return self.state if self.until is None else consents.at(self.state, self.until, now)


@dataclass(frozen=True, slots=True)
class Moment:
    """What holds when a task is decided.

    Attributes:
        now: The site's clock.
        skew: How far it is from the coordinator's.
        alarm: Why the ledger is not to be trusted, or empty.
        standing: The site's own consent to the task's agreement.
        in_force: Whether the agreement is in force, as far as the site knows.
        newest: (round, attempt) of the last task of this kind that passed the rules.
        data_fault: What keeps the cohort from the agreement's standards, or empty.
        cohort: The cohort that this federation may use.
        bytes_today: What left within the last 24 hours.
        bytes_next: What the task would send.
        alone: Why too few others were seen on this site's history, or empty.
        inside: Sites that left under the agreement, and are in its model still.
    """

    now: datetime
    skew: timedelta
    alarm: str
    standing: Standing
    in_force: bool
    newest: tuple[int, int]
    data_fault: str
    cohort: str
    bytes_today: int
    bytes_next: int
    alone: str = ""
    inside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """A task with all that is needed to decide it."""

    task: Task
    document: Document
    moment: Moment
    law: Law


def check_moment(asked: Asked) -> None:
    """Check a task against what holds now; raise Refused naming the first rule."""
    for check in _MOMENT:
        check(asked)


# 8. The ledger is whole. Stops a coordinator that showed this site a history of its own.
def _integrity(asked: Asked) -> None:
    if asked.moment.alarm:
        raise Refused(
            f"the ledger cannot be trusted: {asked.moment.alarm}",
            todo="No task is taken until the administrators have compared their copies.",
            rule="integrity-alarm",
        )


# 8b. A majority holds the same history. Stops a branch of it shown to few hospitals alone.
def _compared(asked: Asked) -> None:
    if asked.moment.alone:
        raise Refused(
            f"too few hospitals were seen on this site's history: {asked.moment.alone}",
            todo="Ask the other hospitals for their heads: concilium-site status shows yours.",
            rule="not-compared",
        )


# 9. The officer's consent, to these very bytes, in force at this second. Stops an agreement
#    edited after it was signed, a withdrawal racing a task, and a consent that ran out.
def _consent(asked: Asked) -> None:
    standing, document, now = asked.moment.standing, asked.document, asked.moment.now
    same = (standing.agreement, standing.material) == (document.digest, document.material)
    state = standing.at(now)
    if not same or state is not Consent.IN_FORCE:
        raise Refused(
            f"this site's consent to the agreement is not in force: it is {state.value}",
            rule="no-consent",
        )


# 10. The agreement itself is in force and in its time. Stops work under a mere proposal.
def _in_force(asked: Asked) -> None:
    if not asked.moment.in_force:
        raise Refused("the agreement is not in force", rule="agreement-not-in-force")
    valid = asked.document.agreement.valid
    if not valid.from_ <= asked.moment.now <= valid.until:
        raise Refused("the agreement is not valid at this time", rule="agreement-not-valid")


# 10b. Training went back to before whoever left, where the agreement says so. Stops a
#      coordinator from going on with a hospital's patients in the model that was to be rid of
#      them.
def _went_back(asked: Asked) -> None:
    inside = asked.moment.inside
    if inside and asked.document.agreement.exits.training == Decision.RETRAIN.value:
        raise Refused(
            f"{', '.join(sorted(inside))} left, and training did not go back to before that, "
            "as the agreement says (exits.training)",
            todo="The operator sees with `concilium-ledger exits` where the exit stands.",
            rule="exit-not-retrained",
        )


# 11. The clocks agree, and the deadline lies ahead. Stops a task from being played again later.
def _clock(asked: Asked) -> None:
    if abs(asked.moment.skew) > SKEW_LIMIT:
        raise Refused(
            f"this machine's clock differs from the coordinator's by {asked.moment.skew}",
            rule="clock-skew",
        )
    if asked.task.deadline <= asked.moment.now:
        raise Refused("the task's deadline has passed", rule="deadline-passed")


# 12. Strictly newer than any before. Stops the same round from being paid for twice.
def _newer(asked: Asked) -> None:
    task, newest = asked.task, asked.moment.newest
    if (task.round, task.attempt) <= newest:
        raise Refused(
            f"round {task.round}, attempt {task.attempt} is not newer than round {newest[0]}, "
            f"attempt {newest[1]}",
            rule="not-newer",
        )


# 13. Not within the hospital's quiet hours, and no training that would be due in them. Stops
#     work beside the clinic's own, and budget from being spent on what could not be ended.
def _quiet_hours(asked: Asked) -> None:
    now, task = asked.moment.now, asked.task
    quiet = quiet_ahead(asked.law.policy.quiet_hours, now)
    due = task.deadline if task.kind is TaskKind.TRAIN else now
    if quiet is not None and runs_into(quiet, now, due):
        when = f"{timestamp(quiet.start)} to {timestamp(quiet.end)}"
        raise Refused(f"the hospital's quiet hours are from {when}", rule=QUIET)


# 14. The data is what the agreement says, and the cohort what the officer signed for. Stops a
#     model of mistaken units, and another cohort's patients under this consent.
def _data(asked: Asked) -> None:
    moment = asked.moment
    if moment.standing.cohort != moment.cohort:
        raise Refused(
            f"the consent is for the cohort {moment.standing.cohort}, but site.yaml now names "
            f"{moment.cohort}",
            rule="other-cohort",
        )
    if moment.data_fault:
        raise Refused(
            f"the data does not meet the agreement's standards: {moment.data_fault}",
            todo="See concilium-site check.",
            rule="data-contract",
        )


# 15. The day's bytes. Stops a stream of tasks from filling the hospital's line.
def _bytes(asked: Asked) -> None:
    limit, moment = asked.law.policy.bytes_per_day, asked.moment
    if limit is not None and moment.bytes_today + moment.bytes_next > limit:
        raise Refused(
            f"{moment.bytes_today} bytes left within a day and this task would add "
            f"{moment.bytes_next}, past bytes_per_day = {limit}",
            rule="bytes-per-day",
        )


# 16. No file is larger than the agreement's model can be. Stops a disk from being filled.
def _size(asked: Asked) -> None:
    most = largest_file(asked.document.agreement)
    for blob in (asked.task.model, asked.task.state):
        if blob is not None and blob.size > most:
            raise Refused(
                f"the task's file has {blob.size} bytes, but one of the agreement's model has "
                f"at most {most}",
                rule="file-too-large",
            )


def largest_file(agreement: Agreement) -> int:
    """Return how many bytes a file of the agreement's model may have: float32 and a header."""
    count = sum(math.prod(shape) for shape in models.parameter_shapes(agreement).values())
    return tensors.HEADER_LIMIT_BYTES + 4 * count


_MOMENT: Final[tuple[Callable[[Asked], None], ...]] = (
    _integrity,
    _compared,
    _consent,
    _in_force,
    _went_back,
    _clock,
    _newer,
    _quiet_hours,
    _data,
    _bytes,
    _size,
)


# 17. The budget (governance.privacy.budget), against the lowest of three caps. Stops patients'
#     privacy from being spent past what anybody agreed to.
def cap_of(agreement: Agreement, policy: SitePolicy) -> tuple[float, float]:
    """Return (ε, δ) that the cohort may spend: the lower of its own and the agreement's.

    ε is infinite only for an agreement without noise, which `policy.unsafe` must permit.
    """
    if agreement.privacy is None or unsafe_terms(agreement) & _NO_PRIVACY:
        return math.inf, policy.cap.delta
    return (
        min(policy.cap.epsilon, agreement.privacy.budget.epsilon),
        min(policy.cap.delta, agreement.privacy.delta),
    )
