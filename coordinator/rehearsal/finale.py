"""The end of a rehearsal: scores, export, verification, the table, and what to try next."""

from __future__ import annotations

import json
import math
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from coordinator.rehearsal import place, theatre
from coordinator.rehearsal.acts import COORDINATOR, SITE
from coordinator.rehearsal.stage import program, run, together
from coordinator.store import chronology
from governance import terminal
from governance.agreement.gate_error import auc_error
from governance.counts import count
from governance.figures import HIGHER_IS_BETTER
from governance.terminal import Answer, Format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from coordinator.rehearsal.acts import Ended
    from coordinator.rehearsal.cast import Cast
    from coordinator.store.chronology import Chronology

LEDGER: Final = program("concilium-ledger")
_ONLY_HERE: Final = (
    "Alone, central and pooled figures exist in a rehearsal only: in a federation nobody trains"
    " centrally, and training alone would be a release of its own."
)
_SHORT: Final = {"auc": "AUC", "accuracy": "acc.", "rmse": "RMSE"}
"""The metrics that a table shows, where a target has them; the first that it has decides."""
_MODELS: Final = ("naive", "alone", "federated", "central")


@dataclass(frozen=True, slots=True)
class Result:
    """What came out; `compared` is the JSON of `concilium-site rehearsal-figures`."""

    compared: Mapping[str, Any]
    rounds: Sequence[Ended]
    record: Chronology
    verified: Mapping[str, Any]
    altered: str

    @property
    def metric(self) -> str:
        """The metric that decides: AUC, RMSE for a quantity, accuracy for a category."""
        return _metrics(self)[0]

    @property
    def gains(self) -> bool:
        """Whether federation beats the average hospital training alone, on all patients."""
        federated = self.compared["pooled"]["federated"][self.metric]
        alone = self.compared["pooled"]["alone_mean"][self.metric]
        return _better(federated, than=alone, by=self.metric)


def conclude(roles: Cast, rounds: Sequence[Ended]) -> Result:
    """Compare the models, and at the same time export and verify the ledger."""
    record = chronology.read(roles.database)
    with ThreadPoolExecutor(1) as beside:
        compared = beside.submit(_compare, roles, record)
        verified, altered = _verify(roles)
        return Result(compared.result(), rounds, record, verified, altered)


def _compare(roles: Cast, record: Chronology) -> Mapping[str, Any]:
    """Compare the final model with the naive guess, training alone and central training."""
    document, out = roles.out / "agreement.json", roles.out / "compared.json"
    document.write_bytes(record.document)
    command = [SITE, "rehearsal-figures", "--document", str(document)]
    command += ["--model", str(model_path(roles, record)), "--out", str(out)]
    if record.scales:
        scales = roles.out / "normalisation.json"
        scales.write_text(json.dumps(record.scales), encoding="utf-8")
        command += ["--scales", str(scales)]
    if roles.seed is not None:
        command += ["--seed", str(roles.seed)]
    run([*command, *(str(roles.site_file(name)) for name in roles.names)])
    compared: Mapping[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return compared


def model_path(roles: Cast, record: Chronology) -> Path:
    """Return where the final model lies."""
    models = roles.coordinator / "state" / "models"
    return models / f"{record.model_digest}.safetensors"


def _verify(roles: Cast) -> tuple[Mapping[str, Any], str]:
    """Export the ledger, verify it with the hospitals' keys, and show a forgery found."""
    trust = roles.out / "trust.keys"
    keys = together([[SITE, "key", "--site", str(roles.site_file(n))] for n in roles.names])
    trust.write_text("".join(said.stdout for said in keys), encoding="utf-8")
    folder = str(roles.out / "export")
    run([LEDGER, "export", folder, "--url", roles.database])
    said = run(
        [LEDGER, "verify", "--export", folder, "--trust", str(trust), "--format", "json"],
        exits=(0, 1),
    )
    return json.loads(said), theatre.alter_and_verify(roles, LEDGER)


def show(roles: Cast, result: Result, *, seconds: float, ended: datetime) -> None:
    """Print the table, the sentence, the verification, and what to try next."""
    write_summary(roles, result, seconds=seconds)
    names = _metrics(result)
    columns = (
        "hospital",
        "patients",
        *(f"{_SHORT[m]}_{n}" for m in names for n in _MODELS),
        "ε",
    )
    rows = [
        _row(result, name, name, result.compared["sites"][name], names) for name in roles.names
    ]
    pooled = {**result.compared["pooled"], "alone": result.compared["pooled"]["alone_mean"]}
    rows.append(_row(result, "", "all pooled", pooled, names))
    terminal.say(
        Answer(
            columns,
            rows,
            title=f"On {_patients(roles)} held out at each hospital, "
            f"{pooled['held_out']['patients']} of {pooled['patients']} in all",
            notes=[*_notes(roles, result), *_next(roles, result), "", sentence(roles, result)],
        ),
        Format.TABLE,
    )
    terminal.tell(f"Rehearsed in {seconds:.0f} s, until {ended:%Y-%m-%d %H:%M:%S} UTC.")


def _patients(roles: Cast) -> str:
    return "synthetic patients" if roles.synthetic else "patients"


def sentence(roles: Cast, result: Result) -> str:
    """Say what federation gains, and of whom it is said when they do not exist."""
    said = gain_sentence(result)
    if not roles.synthetic:
        return said
    return f"On synthetic patients, who do not exist, f{said.removeprefix('F')}"


def _metrics(result: Result) -> tuple[str, ...]:
    said = result.compared["pooled"]["federated"]
    return tuple(name for name in _SHORT if name in said)


def _row(
    result: Result, site: str, label: str, said: Mapping[str, Any], metrics: Sequence[str]
) -> tuple[object, ...]:
    figures = [_figure(said[model][metric]) for metric in metrics for model in _MODELS]
    epsilon = result.record.epsilon.get(site, max(result.record.epsilon.values(), default=""))
    return (label, said["patients"], *figures, "∞" if _is_unbounded(epsilon) else epsilon)


def _is_unbounded(epsilon: str) -> bool:
    return bool(epsilon) and math.isinf(float(epsilon))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def gain_sentence(result: Result) -> str:
    """Say in one sentence what federation gains, per hospital and in all."""
    pooled, sites, metric = result.compared["pooled"], result.compared["sites"], result.metric
    federated, alone = pooled["federated"][metric], pooled["alone_mean"][metric]
    better = [
        name
        for name, said in sites.items()
        if _better(federated, than=said["alone_on_all"][metric], by=metric)
    ]
    verb = "gains" if result.gains else "does not gain"
    return (
        f"Federation {verb}: on everybody's held-out patients {_SHORT[metric]} is "
        f"{_figure(federated)} with the federated model, against {_figure(alone)} for the "
        f"average hospital training alone under the same privacy, and on the same patients "
        f"{len(better)} of {count(len(sites), 'hospital')} "
        f"{'has' if len(better) == 1 else 'have'} a better model than their own "
        f"({_listed(better)}).{_by_chance(pooled, metric)}"
    )


def _by_chance(pooled: Mapping[str, Any], metric: str) -> str:
    """Say how far an AUC over so few patients strays by itself."""
    positives, federated = pooled["held_out"].get("positives"), pooled["federated"][metric]
    if metric != "auc" or positives is None or federated is None:
        return ""
    patients = pooled["held_out"]["patients"]
    error = auc_error(federated, positives, patients - positives)
    over = count(patients, "patient")
    return f" One standard error of {_SHORT[metric]} over {over} is {error:.3f}."


def _better(value: float | None, *, than: float | None, by: str) -> bool:
    if value is None or than is None:
        return False
    return value > than if by in HIGHER_IS_BETTER else value < than


def _notes(roles: Cast, result: Result) -> list[str]:
    lines = [
        "",
        *_not_computed(result),
        _ONLY_HERE,
        *_not_covered(roles),
        f"Unsafe here, listed in the files that the rehearsal made: {_listed(_unsafe(roles))}.",
        "",
        f"The ledger: {_entries(result.verified)}; {_verdict(result.verified)}.",
        f"One entry altered in a copy: {result.altered}",
        "",
        f"Everything lies in {roles.out}: coordinator/, sites/, export/, trust.keys.",
    ]
    if roles.set_aside:
        aside = f"Set aside, since it binds real hospitals alone: {_listed(roles.set_aside)}."
        lines.insert(1, aside)
    if roles.seed is not None:
        fixed = "The noise seed is fixed, so that the same model comes out: Unsafe."
        lines.insert(lines.index(_ONLY_HERE) + 1, fixed)
    return lines


def _not_covered(roles: Cast) -> list[str]:
    """Say where ε says nothing of the patients that the figures are of."""
    agreement = roles.document.agreement
    if agreement.privacy is None or agreement.metrics_noised:
        return []
    return ["Held-out patients' figures are exact and not covered by ε."]


def _not_computed(result: Result) -> Iterator[str]:
    """Say of each hospital why a figure is not shown: too few patients to say anything."""
    for name, said in result.compared["sites"].items():
        if said["federated"][result.metric] is None:
            held = said["held_out"]
            ill = (
                f"{held['positives']} of its {held['patients']}" if "positives" in held else "0"
            )
            yield (
                f"{name} has no {_SHORT[result.metric]} of its own: {ill} held-out patients "
                "have the outcome, too few with it or too few without."
            )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "nothing"


def _unsafe(roles: Cast) -> list[str]:
    from governance.settings import load_site

    said: set[str] = set()
    for name in roles.names:
        said |= set(load_site(roles.site_file(name)).policy.unsafe)
    return sorted(said)


def _entries(verified: Mapping[str, Any]) -> str:
    return count(verified.get("entries", 0), "entry")


def _verdict(verified: Mapping[str, Any]) -> str:
    if not verified.get("verified"):
        return "it does not verify"
    return (
        "verified and proven with the hospitals' keys" if verified.get("proven") else "verified"
    )


def _next(roles: Cast, result: Result) -> list[str]:
    first, last = roles.names[0], max(end.round for end in result.rounds)
    tried = {
        "operator": [_shown(COORDINATOR), "plan", roles.agreement],
        "administrator": [_shown(SITE), "budget", "--site", roles.site_file(first)],
        "auditor": [_shown(LEDGER), "round", min(7, last), "--export", roles.out / "export"],
    }
    commands = [
        f"  {who:<13}  {shlex.join(str(word) for word in words)}"
        for who, words in tried.items()
    ]
    return ["", "Three commands to try next, one for each person:", *commands]


def _shown(path: str) -> str:
    from pathlib import Path

    here = Path(path)
    return str(here.relative_to(Path.cwd())) if here.is_relative_to(Path.cwd()) else str(here)


def write_summary(roles: Cast, result: Result, *, seconds: float) -> None:
    """Write summary.json, for whoever reads a rehearsal with a program."""
    compared, record = result.compared, result.record
    ended = {end.round: end.seconds for end in result.rounds}
    pooled = compared["pooled"]
    metrics = _metrics(result)
    summary = {
        "federation": roles.document.agreement.federation,
        "agreement": record.agreement,
        "seconds": round(seconds, 3),
        "seed": roles.seed,
        "synthetic": roles.synthetic,
        "unsafe": _unsafe(roles),
        "model_digest": record.model_digest,
        "rounds": [
            {
                **row,
                "quality": record.quality.get(row["round"], {}),
                "seconds": round(ended.get(row["round"], 0.0), 3),
            }
            for row in record.rounds
        ],
        "sites": {name: _site_summary(result, name, metrics) for name in roles.names},
        "pooled": {
            **{f"{m}_global": pooled["federated"][m] for m in metrics},
            **{f"{m}_alone_mean": pooled["alone_mean"][m] for m in metrics},
            **{f"{m}_central": pooled["central"][m] for m in metrics},
            **{f"{m}_naive": pooled["naive"][m] for m in metrics},
            "drift": pooled["drift"],
        },
        "gains": result.gains,
        "sentence": sentence(roles, result),
        "ledger": {
            "entries": result.verified.get("entries"),
            "verified": bool(result.verified.get("verified")),
            "proven": bool(result.verified.get("proven")),
        },
        "python": sys.version.split()[0],
    }
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    (roles.out / place.SUMMARY).write_text(text, encoding="utf-8")


def _site_summary(result: Result, name: str, metrics: Sequence[str]) -> dict[str, Any]:
    said = result.compared["sites"][name]
    spent = result.record.epsilon.get(name, "0")
    return {
        "patients": said["patients"],
        "held_out": said["held_out"],
        **{f"{m}_global": said["federated"][m] for m in metrics},
        **{f"{m}_alone": said["alone"][m] for m in metrics},
        **{f"{m}_central": said["central"][m] for m in metrics},
        **{f"{m}_naive": said["naive"][m] for m in metrics},
        "drift": said["drift"],
        "epsilon": None if _is_unbounded(spent) else float(spent),
        "delta": result.record.delta,
    }
