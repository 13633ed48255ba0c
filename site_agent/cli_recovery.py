"""Verbs of `concilium-site` about a store that may be lost: keep it, and bring it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from governance import terminal
from site_agent.cli_options import HERE, Export, Federation, Passphrase, SiteFile, Yes

if TYPE_CHECKING:
    from site_agent.drafts import Draft
    from site_agent.membership import Membership

verbs = typer.Typer()


@verbs.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it is not there yet.")],
    passphrase_file: Passphrase = None,
    site: SiteFile = HERE,
) -> None:
    """Write this hospital's keys, store and copies of ledgers into one sealed file.

    Example: concilium-site backup charite.backup
    """
    from site_agent import backing

    secret = terminal.passphrase("for the backup", file=passphrase_file, confirm=True)
    backing.backup(site, file, passphrase=secret)
    terminal.tell(f"Wrote {file}: keys, store and copies of ledgers; no patient's record.")
    terminal.tell("Keep it on another machine, and its passphrase elsewhere.")
    terminal.tell("After bringing it back: concilium-site recover --from, never by hand alone.")


@verbs.command()
def recover(
    from_: Annotated[
        Path | None, typer.Option("--from", help="A backup to bring back first.")
    ] = None,
    backup_passphrase: Annotated[
        Path | None, typer.Option(help="A file that holds the backup's passphrase.")
    ] = None,
    export: Export = None,
    passphrase_file: Passphrase = None,
    yes: Yes = False,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Learn from the ledger what this store has forgotten; the officer signs what is spent.

    Example: concilium-site recover --from charite.backup
    """
    from governance.settings import load_site
    from site_agent import consenting, desk
    from site_agent.premises import Premises, sole_agent

    if from_ is not None:
        _bring_back(site, from_, backup_passphrase)
    premises = Premises(load_site(site).state)
    premises.prepare()
    with sole_agent(premises), desk.opened(site, federation) as m:
        draft = _drafted(m)
        if export is not None:
            consenting.export(draft, export)
            return
        terminal.tell(draft.shown.rstrip())
        if not terminal.confirmed("Sign it, and let the agent start?", yes=yes):
            return
        consenting.sign_and_deliver(m, draft, passphrase_file)
    terminal.tell("Next: concilium-site run")


def _bring_back(site: Path, file: Path, passphrase_file: Path | None) -> None:
    from governance.settings import load_site
    from site_agent import backing
    from site_agent.premises import Premises, sole_agent
    from site_agent.process import now

    secret = terminal.passphrase("of the backup", file=passphrase_file)
    premises = Premises(load_site(site).state)
    if premises.state.exists():
        with sole_agent(premises):
            kept = backing.bring_back(site, file, passphrase=secret, now=now())
    else:
        kept = backing.bring_back(site, file, passphrase=secret, now=now())
    terminal.tell(f"Brought back {file}.")
    for path in kept:
        terminal.tell(f"What was there is kept: {path}")


def _drafted(m: Membership) -> Draft:
    """Fetch the log, learn what it says, and compose the officer's statement."""
    import asyncio

    from governance.identity.folder import Identity
    from site_agent import learning, recovering
    from site_agent.membership import chosen, folder_name
    from site_agent.store.copy import Copy

    federation = chosen(m.settings, m.federation)
    identity = Identity.load(federation.folder)
    before = {
        cohort: said["epsilon"]
        for cohort, said in m.store.look(lambda c: recovering.spent(c, m)).items()
    }
    kept = Copy.open(m.premises.copy_of(m.federation))
    try:
        found = asyncio.run(learning.read(m, identity, federation, kept))
    finally:
        kept.close()
    others = tuple(
        name
        for name in (folder_name(one) for one in m.settings.federations)
        if name != m.federation
    )

    learnt = m.store.now(lambda c: recovering.learn(c, m, found, others))
    told = recovering.Found(found.size, learnt, before)
    return m.store.look(lambda c: recovering.draft(c, m, told))
