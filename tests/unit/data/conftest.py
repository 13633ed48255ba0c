from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from governance.agreement.load import load
from governance.settings import CohortSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from governance.agreement.schema import Agreement

AGE = (
    "{name: age, unit: year, kind: real, range: [18, 110], reference: {mean: 60, std: 10}, "
    "missing: {at_most: 0.1, fill: 50}}"
)
CHOL = (
    "{name: chol, unit: mg/dl, kind: real, range: [50, 600], reference: {mean: 200, std: 40}, "
    "missing: {at_most: 0.1, fill: 200}}"
)
SEX = "{name: sex, kind: category, values: [f, m], missing: {at_most: 0.5, fill: m}}"
DIED = "{name: died, kind: binary, prevalence: [0.1, 0.9]}"

AGREEMENT = """
agreement: 1
federation: test
title: A test
purpose: [DUO:0000006]
owner: Nobody
licence: CC-BY-4.0
coordinator: {{operator: Nobody, hosted_in: NL}}
valid: {{from: 2026-01-01, until: 2030-12-31}}
sites: {{roster: [one, two], ready_at_least: 2, close_at_least: 2}}
operators: {{keys: [operator]}}
schedule: {{rounds: 1}}
round: {{deadline: 1m, local: {{steps: 1, sampling_rate: 0.5}}}}
data:
  minimum_patients: {minimum}
  target: {target}
  features: [{features}]
model: {{name: linear}}
strategy: {{name: fedavg}}
optimizer: {{name: sgd, rate: 0.1}}
privacy:
  clip: 1
  noise_multiplier: 1
  delta: 1.0e-5
  budget: {{epsilon: 8}}
  metrics: {{exact: {{every: 1}}}}
aggregation: {{secure: false}}
"""


@pytest.fixture
def agreement_of(tmp_path: Path) -> Callable[..., Agreement]:
    """Return a builder of agreements with these features, this target and this minimum."""

    def build(*features: str, target: str = DIED, minimum: int = 1) -> Agreement:
        path = tmp_path / "agreement.yaml"
        text = AGREEMENT.format(features=", ".join(features), target=target, minimum=minimum)
        path.write_text(text)
        return load(path).agreement

    return build


@pytest.fixture
def agreement(agreement_of: Callable[..., Agreement]) -> Agreement:
    """Return an agreement about age, cholesterol, sex and death."""
    return agreement_of(AGE, CHOL, SEX)


@pytest.fixture
def cohort_of(tmp_path: Path) -> Callable[..., CohortSettings]:
    """Return a builder of cohorts: the file, and the columns that are mapped otherwise."""

    def build(file: str | bytes, *, encoding: str = "utf-8", **maps: object) -> CohortSettings:
        path = tmp_path / "patients.csv"
        path.write_bytes(file.encode(encoding) if isinstance(file, str) else file)
        names = ("age", "chol", "sex", "died")
        return CohortSettings.model_validate(
            {
                "source": {"csv": str(path), "encoding": encoding},
                "patient_id": "id",
                "map": {name: maps.get(name, {"column": name}) for name in (*names, *maps)},
            }
        )

    return build
