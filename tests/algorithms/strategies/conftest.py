"""A federation in miniature on the real rules: local steps, files, sums, and what a site keeps.

Each site has one patient whose loss is a(y − m)²/2, so that all can be worked out on paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coordinator.aggregate import aggregate, check_update
from governance import tensors
from governance.privacy.mechanisms import Keystream
from site_agent import agent
from site_agent.dpsgd import Mechanism, Patients
from site_agent.strategies import local_rule
from site_agent.training import LOSS, LocalTerms, fit, parameters

RATE = 0.125


@dataclass(frozen=True)
class Strategy:
    name: str
    server_rate: float = 1.0
    mu: float | None = None


@dataclass(frozen=True)
class Site:
    """A patient's loss a(y − m)²/2, the steps K_i, and the patients n_i that are declared."""

    a: int
    m: int
    steps: int = 2
    patients: int = 10

    def patient(self) -> Patients:
        root = self.a**0.5
        return Patients.of(
            np.array([[root]], np.float32), np.array([root * self.m], np.float32), np.array([0])
        )


@dataclass
class Federation:
    """x, c and every c_i as files; a round is what coordinator and sites do in one."""

    folder: Path
    sites: dict[str, Site]
    strategy: Strategy
    clip: float | None = None
    model: Path | None = None
    state: Path | None = None
    controls: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self._file({"weight": np.zeros((1, 1), np.float32)})

    @property
    def x(self) -> float:
        return float(tensors.load(self.model)["weight"][0, 0])

    @property
    def c(self) -> float:
        return 0.0 if self.state is None else self._control(self.state)

    def c_of(self, name: str) -> float:
        return self._control(self.controls[name]) if name in self.controls else 0.0

    def round(self, present: str | None = None, *, closes: bool = True) -> None:
        """Hold a round with some sites (all by default); one that fails is abandoned."""
        names = sorted(self.sites) if present is None else present.split()
        made = {name: self._train(name) for name in names}
        if closes:
            self._close({name: update for name, (update, _) in made.items()})
        outcome = agent.Outcome("closed" if closes else "abandoned", frozenset(names))
        for name, (_, control) in made.items():
            if (
                control is not None
                and agent.fate_of_control(outcome, site=name) is agent.Fate.KEEP
            ):
                self.controls[name] = control

    def _train(self, name: str) -> tuple[Path, Path | None]:
        site = self.sites[name]
        x = self._tensors(self.model)
        c = None if self.state is None else self._tensors(self.state, "c")
        c_i = self._tensors(self.controls[name], "c") if name in self.controls else None
        rule = local_rule(self.strategy, x=x, c=c, c_i=c_i, rate=RATE)
        model = nn.Linear(1, 1, bias=False)
        model.load_state_dict(x)
        steps = fit(
            model,
            site.patient(),
            self._terms(site),
            Keystream(bytes(32)),
            rule.correction,
            _quiet,
        )
        y = parameters(model)
        update = {f"y/{key}": y[key] - x[key] for key in y}
        control = rule.finish(y, steps=steps)
        if control is None:
            return self._file(_arrays(update)), None
        old = c_i or dict.fromkeys(control, 0)
        update |= {f"c/{key}": control[key] - old[key] for key in control}
        return self._file(_arrays(update)), self._file(
            _arrays(tensors.add_prefix("c", control))
        )

    def _close(self, updates: dict[str, Path]) -> None:
        for update in updates.values():
            check_update(update, tensors.shapes(self.model), strategy=self.strategy)
        made = aggregate(
            self.strategy,
            self.model,
            self.state,
            updates,
            {name: self.sites[name].patients for name in updates},
            roster_size=len(self.sites),
            out=self.folder,
        )
        self.model = tensors.path_of(self.folder, made.model.digest)
        if made.state is not None:
            self.state = tensors.path_of(self.folder, made.state.digest)

    def _terms(self, site: Site) -> LocalTerms:
        clip = None if self.clip is None else Mechanism(1.0, self.clip, 0.0, 1.0)
        return LocalTerms(
            loss=LOSS["real"],
            optimizer="sgd",
            rate=RATE,
            momentum=0.0,
            mechanism=clip,
            steps=site.steps,
            epochs=None,
            batch=None,
        )

    def _file(self, content) -> Path:
        return tensors.path_of(self.folder, tensors.write(content, self.folder).digest)

    def _tensors(self, path: Path, prefix: str = "") -> dict[str, torch.Tensor]:
        views = tensors.load(path)
        views = tensors.under_prefix(prefix, views) if prefix else views
        return {name: torch.from_numpy(view.copy()) for name, view in views.items()}

    def _control(self, path: Path) -> float:
        return float(tensors.load(path)["c/weight"][0, 0])


class Paper:
    """Algorithm 1 of the SCAFFOLD paper, option II, on exact fractions; with c off, FedAvg."""

    def __init__(self, sites: dict[str, Site], *, server_rate=1, clip=None, controls=True):
        self.sites, self.server_rate, self.clip = sites, Fraction(server_rate), clip
        self.controls = controls
        self.x = self.c = Fraction(0)
        self.c_i = dict.fromkeys(sites, Fraction(0))

    def round(self, present: str | None = None, *, closes: bool = True) -> None:
        names = sorted(self.sites) if present is None else present.split()
        local = {name: self._local(name) for name in names}
        if not closes:
            return
        patients = sum(self.sites[name].patients for name in names)
        self.x += (
            self.server_rate
            * sum(self.sites[name].patients * (local[name][0] - self.x) for name in names)
            / patients
        )
        if self.controls:
            mean = sum(local[name][1] - self.c_i[name] for name in names) / Fraction(len(names))
            self.c += Fraction(len(names), len(self.sites)) * mean
            self.c_i |= {name: local[name][1] for name in names}

    def _local(self, name: str) -> tuple[Fraction, Fraction]:
        site, y, eta = self.sites[name], self.x, Fraction(RATE)
        for _ in range(site.steps):
            g = site.a * (y - site.m)
            if self.clip is not None:
                g = max(-Fraction(self.clip), min(Fraction(self.clip), g))
            y -= eta * (g - self.c_i[name] + self.c)
        return y, self.c_i[name] - self.c + (self.x - y) / (site.steps * eta)


def _arrays(content) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in content.items()}


def _quiet(steps: int) -> None:
    pass


TWO = {"a": Site(a=1, m=0), "b": Site(a=4, m=4)}
"""Optima 0 and 4; the sum's optimum is (1·0 + 4·4)/5 = 3.2."""


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def federation(tmp_path):
    """Return a maker of federations and of their paper twins."""

    def make(sites=None, *, name="scaffold", server_rate=1.0, mu=None, clip=None):
        sites = sites or TWO
        strategy = Strategy(name, server_rate, mu)
        paper = Paper(sites, server_rate=server_rate, clip=clip, controls=name == "scaffold")
        return Federation(tmp_path, sites, strategy, clip), paper

    make.site = Site
    return make
