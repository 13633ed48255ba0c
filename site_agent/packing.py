"""From a trained update to the smaller one that leaves, and to what it leaves out.

The worker's update has its noise already: all here is post-processing. What is left out joins
the next update of this site (`governance.compression.feedback`), unless this one did not count:
it stands beside SCAFFOLD's control variate and shares its fate (`custody`). Of that one just
what is sent is kept, c_i⁺ = c_i + sent, so that c stays the mean of all; the rest is in the
next Δc = c_i⁺ − c_i by itself, as in EF21 (Richtárik 2021).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from governance import tensors
from governance.compression import feedback
from governance.compression.form import PACKED, form_of, limits_of, to_words
from governance.privacy.mechanisms import KEY_BYTES, Keystream
from protos.errors import Corrupt
from site_agent import custody, patients
from site_agent.seeding import noise_seed_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.compression.feedback import Limits
    from governance.compression.form import Form
    from protos.words import Task
    from site_agent.jobs import Trained
    from site_agent.membership import Membership
    from site_agent.policy import Standing

    Floats = NDArray[np.float32]

RESIDUAL: Final = "residual"
_FOLDER: Final = "packed"
_FIXED: Final = b"concilium: unsafe fixed rounding\0"


@dataclass(frozen=True, slots=True)
class _Work:
    """What one update is made smaller by: its form and limits, who is sent, what to add."""

    form: Form
    limits: Mapping[str, Limits]
    at: NDArray[np.int64] | None
    residual: Path | None
    draws: Keystream


async def packed(
    m: Membership, task: Task, made: Trained, document: Document, standing: Standing
) -> Trained:
    """Return the compressed update of a training; the training's own where none is agreed.

    Raises:
        Corrupt: what the last update left out is not there as it was written.
        Unavailable: the disk is full.
    """
    agreement = document.agreement
    form = form_of(agreement)
    if form is None:
        return made
    residual = await m.store.ask(partial(_residual, m=m, agreement=task.agreement))
    work = _Work(
        form,
        limits_of(agreement, standing.declared_patients),
        form.at(agreement.federation, task.round, task.model.digest),
        residual,
        _draws(noise_seed_of(document, f"{m.site}/rounding", task)),
    )
    folder = m.premises.task_folder(m.federation, task.task) / _FOLDER
    return await asyncio.to_thread(_packed, work, made, folder)


def _residual(c: Connection, m: Membership, agreement: str) -> Path | None:
    """Return what the last update that counted left out.

    Nothing where patients opted out since: it was made of them, too.
    """
    kept = custody.own(c, m, agreement)
    if kept is None or not kept.residual:
        return None
    if patients.left_out_since(c, m, kept.round, kept.attempt):
        return None
    return m.premises.state / kept.residual


def _draws(noise_seed: int | None) -> Keystream:
    """Return what rounding draws from: this site's own, and kept nowhere."""
    if noise_seed is None:
        return Keystream(os.urandom(KEY_BYTES))
    return Keystream(hashlib.sha256(_FIXED + str(noise_seed).encode()).digest())


def _packed(work: _Work, made: Trained, folder: Path) -> Trained:
    update = tensors.load(made.update)
    sent, left = {}, {}
    for part in work.form.parts:
        wanted = _flat(work.form, update, part)
        if part == "y" and work.residual is not None:
            wanted += _read(work.residual, work.form.size)
        sent[part] = _sent(work, part, wanted)
        left[part] = wanted
    words = tensors.write({PACKED: to_words(work.form, sent)}, folder)
    residual = tensors.write({RESIDUAL: left["y"]}, folder)
    return replace(
        made,
        update=tensors.path_of(folder, words.digest),
        digest=words.digest,
        size=words.size,
        control=None if made.control is None else _control(work.form, made, left["c"], folder),
        residual=tensors.path_of(folder, residual.digest),
    )


def _sent(work: _Work, part: str, wanted: Floats) -> NDArray[np.generic]:
    """Return what is sent of a part; what is wanted is left with the rest."""
    limits = work.limits[part]
    if work.at is not None:
        return feedback.send_chosen(wanted, work.at, limits)
    return feedback.send_rounded(wanted, work.form.digits[part], work.draws.uniform, limits)


def _control(form: Form, made: Trained, left: Floats, folder: Path) -> Path:
    """Write c_i + sent, which is the training's c_i⁺ without what was not sent."""
    assert made.control is not None
    whole = _flat(form, tensors.load(made.control), "c") - left
    own, at = {}, 0
    for name, shape in form.names:
        size = int(np.prod(shape))
        own[f"c/{name}"] = whole[at : at + size].reshape(shape)
        at += size
    return tensors.path_of(folder, tensors.write(own, folder).digest)


def _flat(form: Form, update: Mapping[str, Floats], part: str) -> Floats:
    """Return a part's numbers in the order of a form, to be changed."""
    return np.concatenate([update[f"{part}/{name}"].reshape(-1) for name, _ in form.names])


def _read(path: Path, size: int) -> Floats:
    tensors.verify(path)
    found = tensors.load(path)
    if {name: view.shape for name, view in found.items()} != {RESIDUAL: (size,)}:
        raise Corrupt(
            "what the last update left out does not fit the model",
            where=str(path),
            rule="wrong-residual",
        )
    return found[RESIDUAL]
