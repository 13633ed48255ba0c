"""The class of every field, what a change of it asks of the hospitals, and the material digest.

Material: every hospital consents anew. Operational: in force after the notice unless a hospital
objects. Editorial: acknowledged. Whatever changes who sees what, how many are in a sum, or how
much ε may be spent is material. The table and the digest are frozen for `agreement: 1`.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from governance import canonical
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Klass(enum.StrEnum):
    """What a change of a field asks of the hospitals."""

    MATERIAL = "m"
    OPERATIONAL = "o"
    EDITORIAL = "e"

    @property
    def word(self) -> str:
        """The class as statements and sentences name it."""
        return self.name.lower()


_M, _O, _E = Klass.MATERIAL, Klass.OPERATIONAL, Klass.EDITORIAL

CLASS_OF: Final[Mapping[str, Klass]] = {
    "agreement": _M,
    "federation": _M,
    "title": _E,
    "purpose": _M,
    "owner": _M,
    "licence": _M,
    "coordinator.operator": _M,
    "coordinator.hosted_in": _M,
    "obligations": _M,
    "valid.from": _M,
    "valid.until": _M,
    "notice": _M,
    "sites.roster": _M,
    "sites.ready_at_least": _M,
    "sites.close_at_least": _M,
    "sites.per_round": _M,
    "sites.requires.memory": _O,
    "sites.requires.upload": _O,
    "operators.keys": _M,
    "operators.two_for": _M,
    "schedule.rounds": _M,  # fewer rounds are operational: see class_of
    "schedule.window.days": _O,
    "schedule.window.from": _O,
    "schedule.window.to": _O,
    "schedule.window.zone": _O,
    "schedule.stop.metric": _O,
    "schedule.stop.reached": _O,
    "schedule.stop.patience": _O,
    "round.deadline": _O,
    "round.stragglers": _O,
    "round.attempts": _M,
    "round.late": _O,
    "round.local.steps": _M,
    "round.local.sampling_rate": _M,
    "round.local.epochs": _M,
    "round.local.batch": _M,
    "data.unit": _M,
    "data.statistics": _M,
    "data.minimum_patients": _M,
    "data.target.name": _M,
    "data.target.kind": _M,
    "data.target.unit": _M,
    "data.target.prevalence": _M,
    "data.target.range": _M,
    "data.target.reference.mean": _M,
    "data.target.reference.std": _M,
    "data.target.values": _M,
    "data.subgroups": _M,
    "data.features": _M,
    "model.name": _M,
    "model.hidden": _M,
    "model.norm": _M,
    "model.seed": _M,
    "model.wheel": _M,
    "model.parameters": _M,
    "strategy.name": _M,
    "strategy.mu": _M,
    "strategy.server_rate": _M,
    "optimizer.name": _M,
    "optimizer.rate": _M,
    "optimizer.momentum": _M,
    "privacy.clip": _M,
    "privacy.noise_multiplier": _M,
    "privacy.target.epsilon": _M,
    "privacy.delta": _M,
    "privacy.budget.epsilon": _M,
    "privacy.metrics.noised.epsilon_total": _M,
    "privacy.metrics.noised.every": _M,
    "privacy.metrics.exact.every": _M,
    "privacy.metrics.minimum": _M,
    "privacy.statistics.epsilon": _M,
    "privacy.local_baseline": _M,
    "privacy.noise_seed": _M,
    "aggregation.secure": _M,
    "aggregation.weighting": _M,
    "aggregation.bound": _M,
    "aggregation.compression.name": _M,
    "aggregation.compression.keep": _M,
    "quality.accept_if.metric": _M,
    "quality.accept_if.not_worse_than": _M,
    "quality.visible_to": _M,
    "release.sites": _M,
    "disclosures.visible_to": _M,
    "exits.releases": _M,
    "exits.training": _M,
}

_ORDER: Final = (_M, _O, _E)
_NAMED_LISTS: Final = frozenset({"data.features"})


@dataclass(frozen=True, slots=True)
class Change:
    """One difference of two agreements; a side that has nothing there is None.

    `old` and `new` are values of the canonical document.
    """

    path: str
    old: object
    new: object
    klass: Klass


def class_of(path: str, *, old: object = None, new: object = None) -> Klass:
    """Return the class of a change at a path of the canonical document.

    A part of a field has the field's class; a section that comes or goes has the strongest
    class in it. Fewer rounds than before ask less of everyone: that is operational.

    Raises:
        KeyError: the path is in no field; a field without a class does not exist.
    """
    if (
        path == "schedule.rounds"
        and isinstance(old, int)
        and isinstance(new, int)
        and new < old
    ):
        return Klass.OPERATIONAL
    steps = path.split(".")
    for length in range(len(steps), 0, -1):
        if (found := CLASS_OF.get(".".join(steps[:length]))) is not None:
            return found
    below = {klass for name, klass in CLASS_OF.items() if name.startswith(f"{path}.")}
    if not below:
        raise KeyError(path)
    return min(below, key=_ORDER.index)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return every difference of two canonical agreements, by path."""
    return tuple(
        Change(path, before, after, _class_among(path, before, after, new))
        for path, before, after in _differences("", dict(old), dict(new))
    )


def _class_among(path: str, before: object, after: object, new: Mapping[str, Any]) -> Klass:
    """Return a change's class in its agreement.

    Where σ follows from a target for ε, fewer rounds make the noise of each one less, and that
    is material as σ is.
    """
    privacy = new.get("privacy")
    if path == "schedule.rounds" and isinstance(privacy, dict) and "target" in privacy:
        return CLASS_OF[path]
    return class_of(path, old=before, new=after)


def asks_consent(found: Iterable[Change]) -> bool:
    """Return whether hospitals must consent anew."""
    return any(change.klass is Klass.MATERIAL for change in found)


def material_digest(agreement: Mapping[str, Any]) -> Digest:
    """Return the SHA-256 of the material fields of a canonical agreement.

    `schedule.rounds` is among them, so a consent never covers a round it was not given for.
    """
    kept = _material("", agreement)
    return Digest(hashlib.sha256(canonical.encode(kept)).hexdigest())


def _material(path: str, value: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, inner in value.items():
        below = f"{path}.{name}" if path else name
        if isinstance(inner, dict) and below not in CLASS_OF:
            if section := _material(below, inner):
                kept[name] = section
        elif class_of(below) is Klass.MATERIAL:
            kept[name] = inner
    return kept


def _differences(path: str, old: object, new: object) -> Iterator[tuple[str, object, object]]:
    if path in _NAMED_LISTS and isinstance(old, list) and isinstance(new, list):
        names = [[item["name"] for item in side] for side in (old, new)]
        if [n for n in names[0] if n in names[1]] != [n for n in names[1] if n in names[0]]:
            yield f"{path}.order", names[0], names[1]
        old = {item["name"]: item for item in old}
        new = {item["name"]: item for item in new}
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield path, old, new
        return
    for name in sorted({*old, *new}):
        below = f"{path}.{name}" if path else name
        yield from _differences(below, old.get(name), new.get(name))
