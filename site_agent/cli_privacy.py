"""The verb of `concilium-site` that tries to refute what is claimed of its own privacy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance import terminal
from governance.terminal import Format
from site_agent.cli_options import HERE, Federation, Form, SiteFile

verbs = typer.Typer()


@verbs.command("audit-privacy")
def audit_privacy(
    agreement: Annotated[
        Path | None,
        typer.Argument(help="An agreement's file; default: the one asked about last."),
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Train on patients who do not exist.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="How many; default: all of the schedule.")
    ] = None,
    without_noise: Annotated[
        bool, typer.Option("--without-noise", help="Leave the noise out, and see it fail.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Have the result signed and kept in the ledger.")
    ] = False,
    cohort: Annotated[str | None, typer.Option(help="Which of site.yaml's cohorts.")] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
    form: Form = Format.TABLE,
) -> int:
    """Plant canaries in a rehearsal of the training; exit 1 if they betray more ε than claimed.

    Example: concilium-site audit-privacy agreement.yaml --synthetic
    """
    from site_agent import privacy_audit, privacy_record

    if record:
        privacy_record.check_may(synthetic=synthetic, without_noise=without_noise)
    document = privacy_audit.agreement_of(site, federation, agreement)
    trains = privacy_audit.trainer(
        document, site, federation, cohort, rounds=rounds, invented=synthetic
    )
    with privacy_audit.shown() as progress:
        answer, holds = privacy_audit.audit(
            document,
            trains,
            rounds=rounds,
            without_noise=without_noise,
            progress=progress,
        )
    terminal.say(answer, form)
    if record:
        privacy_record.record(document, answer, site, federation)
        terminal.tell("Signed: the agent sends it, and the ledger keeps it.")
    return 0 if holds else 1
