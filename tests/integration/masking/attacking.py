"""A malicious coordinator: the real one, with what it sends changed on its way out.

It hears and keeps whatever sites say and send, and does with it what an attacker would.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from coordinator import masking, uploads
from coordinator.round_states import State
from coordinator.store import outbox, roundbook
from governance import canonical, tensors
from governance.identity.keys import SigningKey
from governance.secagg import agreed, masks
from governance.secagg import coordinator as server
from governance.secagg.keys import Secret, Shares, mask_seed, seal, share_digests, unseal
from governance.secagg.messages import keys_bytes
from governance.secagg.shamir import Share, combine
from governance.secagg.terms import Terms
from protos.words import Task
from protos.words_masks import Delivered, Keys, MaskAsked, Opened, Peers, Sealed


class Attacker:
    """What the coordinator's owner changed in it.

    Attributes:
        heard: What each site said in masked sums, as it came.
        vectors: Each site's masked vector, as it came.
        lenient: The sites whose words are taken unchecked.
    """

    def __init__(self, monkeypatch):
        self.heard, self.vectors, self.lenient = {}, {}, set()
        self._changes, self._acts = [], []
        self.send = outbox.send
        self._take, self._check = masking.take, masking._check
        self._fault_of = uploads.fault_of
        monkeypatch.setattr(outbox, "send", self._sends)
        monkeypatch.setattr(masking, "take", self._takes)
        monkeypatch.setattr(masking, "_check", self._checks)
        monkeypatch.setattr(uploads, "fault_of", self._received)

    def changes(self, kind, change, *victims, purpose="train"):
        """Change what victims, or all, are sent: a task, or what they are brought in a step."""

        def changed(connection, name, body):
            said = body.asked if isinstance(body, MaskAsked) else body
            if not isinstance(said, kind) or (victims and name not in victims):
                return body
            if purpose_of(body.task) != purpose:
                return body
            return change(said) if isinstance(said, Task) else replace(body, asked=change(said))

        self._changes.append(changed)

    def follows(self, act):
        """Let `act(connection, site, body)` say what is sent in the place of each message."""
        self._changes.append(act)

    def hears(self, act):
        """Do something, `act(connection, site, word)`, after each word of a masked sum."""
        self._acts.append(act)

    def _sends(self, connection, name, body):
        for change in list(self._changes):
            body = change(connection, name, body)
            if body is None:
                return 0
        return self.send(connection, name, body)

    def _takes(self, base, connection, name, word):
        self.heard.setdefault(name, []).append(word.said)
        event = self._take(base, connection, name, word)
        for act in self._acts:
            act(connection, name, word)
        return event

    def _checks(self, connection, running, terms, name, word):
        if name not in self.lenient:
            self._check(connection, running, terms, name, word)

    def _received(self, path, terms):
        self.vectors[path.parent.name] = tensors.load(path)[agreed.MASKED].view(np.uint32)[:]
        return self._fault_of(path, terms)

    # --- what it makes of it ---------------------------------------------------------------

    def said(self, name, kind):
        """What a site said of a kind."""
        return [said for said in self.heard.get(name, []) if isinstance(said, kind)]

    def keys(self):
        return {name: said[0] for name in self.heard if (said := self.said(name, Keys))}

    def secret(self, of, field, names):
        """A site's secret out of the shares that these opened; `own_masks` or `keys`."""
        places = server.Run(None, self.keys(), {}).places
        return combine(
            {
                places[name]: Share.from_bytes(getattr(self.said(name, Opened)[-1], field)[of])
                for name in names
            }
        )

    def bare(self, terms, victim, *, own_mask, mask_key, keys=None):
        """The victim's vector without its masks."""
        bare, added, taken = self.vectors[victim].copy(), [], [own_mask]
        for peer, said in (keys or self.keys()).items():
            if peer != victim and mask_key is not None:
                seed = mask_seed(Secret(mask_key), said.mask, terms.run, (victim, peer))
                (taken if peer > victim else added).append(seed)
        masks.apply(bare, added=added, subtracted=taken)
        return bare.tolist()


def purpose_of(task):
    """What a task's sum is of, by the task's name."""
    return "evaluate" if "/evaluate/" in task else "train"


def with_terms(task, /, **changes):
    """A task with terms that say something else."""
    terms = replace(Terms.from_bytes(task.masks), **changes)
    return replace(task, masks=canonical.encode(terms.to_json()))


def coordinators_key():
    return SigningKey.from_seed(hashlib.sha256(b"the coordinator's own").digest())


class Impostor:
    """All other hospitals to one victim, played by the coordinator with keys of its own.

    The others are asked nothing; the round's book says what the victim's words are to meet.
    """

    def __init__(self, attacker, victim):
        self.attacker, self.victim, self.terms = attacker, victim, None
        self.secrets = {}
        attacker.lenient.add(victim)
        attacker.follows(self._sent)
        attacker.hears(self._heard)

    def _sent(self, _, name, body):
        if not isinstance(body, Task):
            return body
        if name != self.victim:
            return None
        self.terms = Terms.from_bytes(body.masks)
        self.secrets = {
            other: tuple(
                Secret(hashlib.sha256(f"{other} {use}".encode()).digest())
                for use in ("mask", "share")
            )
            for other in self.terms.sites
            if other != self.victim
        }
        return body

    def _heard(self, connection, name, word):
        if isinstance(word.said, Keys):
            asked = Peers(tuple(self.keys().values()))
            self.attacker.send(connection, name, MaskAsked(word.task, asked))
        if isinstance(word.said, Sealed):
            asked = Delivered(self.shares(), self.digests())
            self.attacker.send(connection, name, MaskAsked(word.task, asked))
            roundbook.move(connection, State.TRAINING.value)

    @property
    def mine(self):
        return self.attacker.said(self.victim, Keys)[0]

    def keys(self):
        said = {self.victim: self.mine}
        for name, (mask, share) in self.secrets.items():
            plain = Keys(name, mask.public, share.public)
            signed = coordinators_key().sign(keys_bytes(self.terms, plain))
            said[name] = replace(plain, signature=signed)
        return dict(sorted(said.items()))

    def shares(self):
        return {
            name: seal(
                Shares(Share(1), Share(1)),
                share,
                self.mine.share,
                self.terms.run,
                sender=name,
                receiver=self.victim,
            )
            for name, (_, share) in self.secrets.items()
        }

    def digests(self):
        made = Shares(Share(1), Share(1))
        return {
            name: share_digests(made, self.terms.run, sender=name, receiver=self.victim)
            for name in self.secrets
        }

    def bare(self):
        """The victim's vector: it sealed its secrets for keys that are the coordinator's."""
        sealed = self.attacker.said(self.victim, Sealed)[0]
        held = {
            place: unseal(
                sealed.shares[name],
                self.secrets[name][1],
                self.mine.share,
                self.terms.run,
                sender=self.victim,
                receiver=name,
            )
            for place, name in enumerate(sorted(self.terms.roster), start=1)
            if name != self.victim
        }
        return self.attacker.bare(
            self.terms,
            self.victim,
            own_mask=combine({place: one.own_mask for place, one in held.items()}),
            mask_key=combine({place: one.key for place, one in held.items()}),
            keys=self.keys(),
        )


def coded(fed, terms, name):
    """What a site's vector was before it was masked."""
    update = fed.agents[name].update()
    return agreed.coded(terms, fed.agreement.agreement, name, update)[0].tolist()


async def refused(fed, rule, *victims, kind="train"):
    """Wait until victims have complained of a rule, in journal and ledger, and forgotten."""
    broken = f"secagg-{rule.lower()}"
    for name in victims:
        agent, actor = fed.agents[name], f"site/{name}"
        await fed.until_holds(lambda agent=agent: agent.complaints())
        assert agent.complaints() == [broken]
        await fed.until_holds(
            lambda actor=actor: (
                [e.body["broken"] for e in fed.entries("complaint") if e.actor == actor]
                == [broken]
            )
        )
        assert f"breaks {rule}" in agent.fault()
        run = agent.run_of(kind=kind)
        assert run is None or run.kept is None
    assert {e.actor for e in fed.entries("complaint")} == {f"site/{n}" for n in victims}
    seen = " ".join((await fed.status()).alarms)
    assert all(
        f"{name} complained of round 1: the masked sum broke {rule}" in seen for name in victims
    )
