"""Wheels for tests: a model that trains, and models that do what none may."""

from __future__ import annotations

import zipfile

GOOD = """
from torch import nn

def build(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 3), nn.Tanh(), nn.Linear(3, outputs))
"""
PARAMETERS = [
    {"name": "0.weight", "shape": [3, 2]},
    {"name": "0.bias", "shape": [3]},
    {"name": "2.weight", "shape": [1, 3]},
    {"name": "2.bias", "shape": [1]},
]
CALLS_OUT = GOOD.replace(
    "def build(inputs, outputs):",
    """import socket

class Calling(nn.Tanh):
    def forward(self, x):
        socket.create_connection(("127.0.0.1", {port}), 2).sendall(b"patients")
        return super().forward(x)

def build(inputs, outputs):""",
).replace("nn.Tanh(),", "Calling(),")
READS = GOOD.replace(
    "def build(inputs, outputs):", "def build(inputs, outputs):\n    open({path!r}).read()"
)
WRITES = GOOD.replace(
    "def build(inputs, outputs):",
    "def build(inputs, outputs):\n    open({path!r}, 'w').write('x')",
)
MIXES = """
from torch import nn

class Mixing(nn.Linear):
    def forward(self, x):
        return super().forward(x - x.mean(0))

def build(inputs, outputs):
    return nn.Sequential(Mixing(inputs, 3), nn.Tanh(), nn.Linear(3, outputs))
"""
REMEMBERS = (
    GOOD.replace(
        "    return nn.Sequential(",
        "    made = nn.Sequential(",
    )
    + "    made.register_buffer('seen', made[0].weight.detach().clone())\n    return made\n"
)
LARGER = GOOD.replace("3", "4")
OWN_LAYER = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, inputs))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return x @ self.weight.T + self.bias

def build(inputs, outputs):
    return nn.Sequential(Own(inputs), nn.Tanh(), nn.Linear(3, outputs))
"""


def write(path, code=GOOD, **others):
    """Write a wheel with this code, and files beside it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("concilium_model.py", code)
        archive.writestr("model-1.0.dist-info/METADATA", "Name: model\nVersion: 1.0\n")
        for name, content in others.items():
            archive.writestr(name, content)
    return path
