"""FedProx at the coordinator: as FedAvg (Li 2020, Algorithm 2); μ acts at the sites alone."""

from __future__ import annotations

from coordinator.strategies.fedavg import FedAvg


class FedProx(FedAvg):
    """The weighted mean of the sites' steps."""

    __slots__ = ()
