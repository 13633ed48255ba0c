"""From an update on the disk to the masked vector that leaves: encoded, counted, masked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from governance import tensors
from governance.files import is_whole
from governance.secagg import agreed, kept, rules, site
from protos.errors import Corrupt, PeerFault
from protos.words import Digest, UploadRef
from site_agent import deciding
from site_agent.store import masks

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.agreement.schema import Agreement
    from governance.identity.keys import Signer
    from governance.secagg.kept import Kept
    from protos.words import BlobRef, Task
    from site_agent.membership import Membership
    from site_agent.store.masks import Run
    from site_agent.store.work import Held

_FOLDER = "masked"


async def masked(m: Membership, held: Held, update: Path) -> tuple[UploadRef, Path]:
    """Return the masked vector of a task's update, made anew where a crash took it.

    What leaves under the keys of a run is one vector, whatever happens: its digest is in the
    store before a byte of it is sent. One that is asked for once more when the run's secrets
    are forgotten is the file that was sent.

    Raises:
        PeerFault: R11, it saturates; or the run is over.
        Corrupt: the update is not the one that was masked before.
    """
    run, agreement = await m.store.ask(partial(_known, m=m, held=held))
    task = held.task
    path = path_of(m, task, Digest(run.sent))
    if run.kept is None or (run.sent and await asyncio.to_thread(_is_here, path)):
        size = path.stat().st_size if path.exists() else 0
        return UploadRef(task.round, task.attempt, Digest(run.sent), size), path
    folder = path.parent
    vector = await asyncio.to_thread(_masked, run.kept, agreement, m.voice.key, update, folder)
    await m.store.do(partial(_note, m=m, held=held, vector=vector))
    ref = UploadRef(task.round, task.attempt, vector.digest, vector.size)
    return ref, tensors.path_of(folder, vector.digest)


def path_of(m: Membership, task: Task, digest: Digest) -> Path:
    """Return where the masked vector of a task lies."""
    return tensors.path_of(m.premises.task_folder(m.federation, task.task) / _FOLDER, digest)


def _is_here(path: Path) -> bool:
    return path.exists() and is_whole(path)


def _known(c: Connection, m: Membership, held: Held) -> tuple[Run, Agreement]:
    run = masks.find(c, m.federation, held.task.task, site=m.site)
    document = deciding.document_of(c, m, held.task.agreement)
    forgotten = run is None or (run.kept is None and not run.sent)
    if run is None or forgotten or document is None:
        raise PeerFault("the masked sum of the task is over", rule="mask-step")
    return run, document.agreement


def _note(c: Connection, m: Membership, held: Held, vector: BlobRef) -> None:
    run = masks.find(c, m.federation, held.task.task, site=m.site)
    if run is None or run.kept is None:
        raise PeerFault("the masked sum of the task is over", rule="mask-step")
    # Stops two vectors under the same masks, whose difference is that of two updates.
    if run.sent not in {"", vector.digest}:
        raise Corrupt("another update was masked with these keys before", rule="mask-reused")
    masks.note_sent(c, m.federation, held.task.task, vector.digest)


def _masked(
    run: Kept, agreement: Agreement, signer: Signer, update: Path, folder: Path
) -> BlobRef:
    tensors.verify(update)
    vector, beyond = agreed.coded(run.terms, agreement, run.site, tensors.load(update))
    rules.r11_within(beyond, agreed.most_saturated(run.terms.length))
    site.apply(kept.masked(run, signer), vector)
    floats = agreed.to_words(run.terms, vector).view(np.float32)  # bit by bit, as files hold
    with tensors.Writer(folder, {agreed.MASKED: floats.shape}) as writer:
        for part in tensors.chunks(floats.size):
            writer.append(floats[part])
        return writer.commit()
