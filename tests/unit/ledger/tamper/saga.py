"""Five hospitals over thirty rounds, each statement really signed, for a tamperer to hold.

One abandoned round, one pause, one key renewal, two withdrawals, one exit with all its steps,
one opt-out, and two releases of which one is recalled, by two operators as the agreement wants;
every hospital that has not left cosigns the head after every round. Every tenth round is judged
by noised figures, rounds 14 and 17 are masked, usz is lost in the second, and before round 14
gem has a privacy test recorded. A further event is one
more method and one more line of `_EVENTS`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from histories import STEPS, History

from governance import statements
from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release

HOSPITALS = ("amc", "gem", "kul", "ucl", "usz")
ROUNDS = 30
OPTED_OUT, ABANDONED, PAUSED, RESUMED = 5, 7, 10, 13
FIRST_LEAVES, RENEWED, SECOND_LEAVES = 16, 20, 26
RELEASED, RELEASED_AGAIN, RECALLED = 15, 22, 24
LEAVES = 28
EVALUATED = (10, 20, 30)
MASKED = {14: (), 17: ("usz",)}
AUDITED = 14
OPERATORS = ("ops", "rossi")


class Saga(History):
    """A federation whose history is long enough to be worth forging."""

    def __init__(self, federation):
        super().__init__(federation)
        self.trained = dict.fromkeys(HOSPITALS, 0)
        self.measured = dict.fromkeys(HOSPITALS, 0)
        self.present = list(HOSPITALS)
        self.witnesses = list(HOSPITALS)
        federation.agent = self._agent

    def _agent(self, site, kind, body, **more):
        fed = self.fed
        key = fed.key(fed.agents.get(site, f"{site} agent"))
        return fed.say(kind, body, f"site/{site}", key, **more)

    def cost(self, site):
        return _cost(self.trained[site], self.measured[site])

    @property
    def agreed(self):
        return {"agreement": sha256(b"first").hexdigest()}

    def go(self):
        self.begin()
        for number in range(1, ROUNDS + 1):
            _EVENTS.get(number, lambda _: None)(self)
            self.round(number)
        return self

    def begin(self):
        fed = self.fed
        fed.found()
        for name in (*OPERATORS, "stranger"):
            fed.enrol("operator", name)
        for number, site in enumerate(HOSPITALS):
            fed.enrol_site(site)
            fed.certify(site, "site", f"{number:02x}")
        fed.propose("first", operators=OPERATORS, two_for=("recall", "revoke"))
        for site in HOSPITALS:
            fed.consent(site, "first", cap="60")
        fed.moved("in-force", "first", *HOSPITALS)
        self.checkpoint(HOSPITALS)

    def round(self, number):
        attempt = 1
        if number == ABANDONED:
            self.open(number, sites=self.present)
            self.fed.abandon(number, sites=self.present)
            attempt = 2
        self.open(number, attempt, sites=self.present)
        if number in MASKED:
            self.masked(number, MASKED[number])
            return
        for site in self.present:
            self.train(site, number, attempt)
        if number in EVALUATED:
            for site in self.present:
                self.measure(site, number)
        self.close(number, attempt, sites=self.present)
        self.checkpoint(self.witnesses)

    def masked(self, number, lost):
        """Run a round under masks; who is lost shared its keys and sent no update."""
        summed = [site for site in self.present if site not in lost]
        self.step(number, "keys", self.present)
        self.step(number, "shares", self.present)
        for site in summed:
            self.train(site, number)
        self.step(number, "masked", summed)
        self.step(number, "signed", summed, dropped=lost)
        self.step(number, "opened", summed)
        self.close(number, sites=summed, out=dict.fromkeys(lost, "late"))
        self.checkpoint(self.witnesses)

    def step(self, number, step, sites, dropped=()):
        run = {"purpose": "train", "terms": sha256(b"terms").hexdigest(), "step": step}
        who = {"sites": list(sites), "dropped": list(dropped), "refused": {}}
        self.fed.coordinator("masking-step", {**self.fed.at(number), **run, **who})

    def measure(self, site, number):
        """Reserve for noised figures of a round's candidate, and say them."""
        self.measured[site] += 1
        body = self.fed.metrics_body(number, total=self.cost(site))
        self.fed.agent(site, "budget-reserved", body)
        told = (statements.disclose("figures", "noised", salt=bytes(32)),)
        said = self.fed.evaluation_body(number)
        self.fed.agent(site, "evaluation-made", said, told=told)

    # --- events --------------------------------------------------------------------------

    def pause(self):
        self.fed.agent("ucl", "consent-suspended", self.agreed)
        self.present.remove("ucl")

    def resume(self):
        body = {**self.agreed, "material": self.agreed["agreement"]}
        self.fed.officer("ucl", "consent-resumed", body)
        self.present = sorted([*self.present, "ucl"])

    def renew(self):
        fed = self.fed
        old, new = fed.key("amc agent"), fed.key("amc agent 2")
        body = {"name": "amc", "usage": "agent", "old": old.key_id, "new": new.key_id}
        fed.say("key-rotated", body, "site/amc", old, fed.key("amc officer"), new)
        fed.agents["amc"] = "amc agent 2"

    def opt_out(self):
        body = {**self.agreed, "cohort": "infarction", "patients": "some"}
        self.fed.agent("gem", "opt-outs-applied", body)

    def audit(self, site):
        """Have a privacy test of one round recorded: 120 of 200 guesses are right."""
        body = self.fed.audit_body(claimed=_cost(1, 0))
        self.fed.agent(site, "privacy-audited", body)

    def release(self, name, inside):
        """Publish the model of the round before, and give it away."""
        round_, model = self.models, f"m{self.models}"
        self.fed.publish(
            name, round_, model=model, rounds=list(range(1, round_ + 1)), sites=list(inside)
        )
        body = self.fed.release_body(name, model)
        told = (statements.disclose("recipient", "a registry", salt=bytes(32)),)
        self.fed.operator("release-given", body, told=told)

    def recall(self):
        fed, body = self.fed, self.fed.release_body("v1", f"m{RELEASED - 1}")
        both = [fed.key(name) for name in OPERATORS]
        fed.say("release-recalled", body, "operator/ops", *both)

    def withdraw(self, site):
        self.fed.agent(site, "consent-withdrawn", self.agreed)
        self.present.remove(site)

    def leave(self, site):
        """Let a hospital leave the federation, with every step of its exit."""
        fed = self.fed
        body = {"site": site, "scope": "federation", "cause": "own-wish"}
        request = fed.officer(site, "exit-requested", body)
        self.present.remove(site)
        self.witnesses.remove(site)
        done = [request]
        for step, said in _STEPS:
            if step == "releases-settled":
                self.keep("v2", f"m{RELEASED_AGAIN - 1}", site)
            done.append(fed.coordinator("exit-step", _step(request, site, step, said)))
        fed.coordinator("exit-closed", {"exit": request, "site": site, "rests_on": done})

    def keep(self, release, model, site):
        """Let an operator keep a release that somebody who left is inside, and say why."""
        fed = self.fed
        told = (statements.disclose("reason", "in use", salt=bytes(32)),)
        body = {**fed.release_body(release, model), "site": site, "decision": "keep"}
        fed.operator("release-settled", body, told=told)


_EVENTS = {
    OPTED_OUT: Saga.opt_out,
    RELEASED: lambda saga: saga.release("v1", HOSPITALS),
    RELEASED_AGAIN: lambda saga: saga.release("v2", HOSPITALS),
    RECALLED: Saga.recall,
    AUDITED: lambda saga: saga.audit("gem"),
    PAUSED: Saga.pause,
    RESUMED: Saga.resume,
    FIRST_LEAVES: lambda saga: saga.withdraw("kul"),
    RENEWED: Saga.renew,
    SECOND_LEAVES: lambda saga: saga.withdraw("usz"),
    LEAVES: lambda saga: saga.leave("ucl"),
}
_STEPS = (
    ("quiesced", {"decision": "no-round"}),
    ("credentials-revoked", {}),
    ("cleaned", {}),
    # It was in the first round, so each model since has its patients in it.
    ("impact-listed", {"rounds": list(range(1, LEAVES)), "releases": ["v2"]}),
    ("training-settled", {"decision": "continue"}),
    ("releases-settled", {"decision": "keep"}),
)


def _step(request, site, step, said):
    nothing = {"decision": "", "rounds": [], "releases": [], "model": "", "state": ""}
    return {"exit": request, "site": site, "step": step, **nothing, **said}


@lru_cache
def _cost(trainings, evaluations):
    releases = [Release(0.1, 1.1, STEPS * trainings), Release(1.0, 9.0, evaluations)]
    return format_epsilon(epsilon(releases, 1e-5))


def told():
    """What a consent discloses."""
    return [statements.disclose(label, "x", salt=bytes(32)) for label in ("officer", "role")]
