"""`concilium-site`: the program of a hospital's administrator and officer."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from governance import moments, terminal
from governance.terminal import Format
from site_agent import (
    cli_administrator,
    cli_audit,
    cli_exits,
    cli_keeping,
    cli_patients,
    cli_privacy,
    cli_recovery,
    cli_releases,
)
from site_agent.cli_options import (
    HERE,
    Digest,
    Export,
    Federation,
    Form,
    Passphrase,
    Reason,
    SiteFile,
    Yes,
)

if TYPE_CHECKING:
    from site_agent.drafts import Draft
    from site_agent.membership import Membership

_VERBS = (
    *(
        "init",
        "preflight",
        "enrol",
        "renew",
        "key",
        "check",
        "review",
        "consent",
        "sign",
        "decline",
    ),
    *("object", "run", "status", "budget", "sent", "models", "pause", "resume", "withdraw"),
    *(
        "leave",
        "erase",
        "opt-out",
        "declare",
        "audit",
        "audit-privacy",
        "trust",
        "fetch",
        "predict",
    ),
)
app = typer.Typer(
    name="concilium-site",
    cls=terminal.in_order(*_VERBS),
    help="Take part in a federation: patients' records never leave this hospital.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(cli_administrator.verbs)
app.add_typer(cli_patients.verbs)
app.add_typer(cli_audit.verbs)
app.add_typer(cli_releases.verbs)
app.add_typer(cli_exits.verbs)
app.add_typer(cli_keeping.verbs)
app.add_typer(cli_recovery.verbs)
app.add_typer(cli_privacy.verbs)


def main() -> None:
    """Run the program."""
    terminal.run(app)


@app.command()
def check(
    agreement: Annotated[
        Path | None, typer.Argument(help="An agreement's file; default: the proposed one.")
    ] = None,
    cohort: Annotated[str | None, typer.Option(help="Which of site.yaml's cohorts.")] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
    form: Form = Format.TABLE,
) -> int:
    """Compare the data with an agreement's contract, in counts alone; exit 1 if it is not met.

    Example: concilium-site check agreement.yaml
    """
    from site_agent import checking

    findings = checking.check(site, federation, agreement=agreement, cohort=cohort)
    terminal.say(findings.answer(), form)
    return 0 if findings.met else 1


@app.command()
def review(
    export: Export = None,
    full: Annotated[
        bool, typer.Option("--full", help="All terms of the agreement too.")
    ] = False,
    agreement: Digest = "",
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Say in plain words what this hospital is asked to consent to, and what it costs.

    Example: concilium-site review --export review.txt
    """
    from site_agent import desk

    with desk.opened(site, federation) as m:
        reviewed = desk.reviewed(m, desk.proposal(m, agreement))
    text = reviewed.text if export is None else reviewed.to_sign
    text = f"{text}\n{reviewed.terms}" if full else text
    if export is not None:
        export.write_text(text, encoding="utf-8")
        terminal.tell(f"Wrote {export}.")
    else:
        typer.echo(text, nl=False)


@app.command()
def consent(
    officer_name: Annotated[
        str, typer.Option(help="Who signs; stays behind a commitment.")
    ] = "",
    role: Annotated[str, typer.Option(help="Their office in this hospital.")] = "",
    until: Annotated[
        datetime | None,
        typer.Option(parser=moments.until, help="Until when; default: as the agreement."),
    ] = None,
    declared_patients: Annotated[
        int | None, typer.Option(help="In tens; default: the cohort's, rounded.")
    ] = None,
    jurisdiction: Annotated[str, typer.Option(help="Country whose law applies.")] = "",
    irb: Annotated[str, typer.Option(help="Ethics approval.")] = "",
    permit: Annotated[str, typer.Option(help="Data permit.")] = "",
    dpa: Annotated[str, typer.Option(help="Data processing agreement.")] = "",
    export: Annotated[
        Path | None, typer.Option(help="Write it to be signed elsewhere.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Take one signed elsewhere.")
    ] = None,
    agreement: Digest = "",
    passphrase_file: Passphrase = None,
    yes: Yes = False,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Consent to the proposed agreement, signed with the officer's key.

    Example: concilium-site consent --officer-name "A. Weber" --role "Chief medical officer"
    """
    from site_agent import consenting, desk

    with desk.opened(site, federation) as m:
        if import_ is not None:
            consenting.deliver_file(m, import_)
            return
        document = desk.proposal(m, agreement)
        reviewed = desk.reviewed(m, document)
        basis = {"jurisdiction": jurisdiction, "irb": irb, "permit": permit, "dpa": dpa}
        given = consenting.Given(officer_name, role, until, declared_patients, basis)
        draft = consenting.drafted(m, document, reviewed, given)
        if export is not None:
            consenting.export(draft, export)
            return
        typer.echo(reviewed.text, err=True)  # word for word what is signed
        if terminal.confirmed("Consent to this?", yes=yes):
            _deliver(m, draft, passphrase_file)


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="What `--export` wrote.")],
    officer_key: Annotated[Path, typer.Option(help="The officer's key on this machine.")],
    passphrase_file: Passphrase = None,
    yes: Yes = False,
) -> None:
    """Sign an exported statement on the machine where the officer's key lives.

    Example: concilium-site sign consent.json --officer-key officer.pem
    """
    from site_agent import consenting

    consenting.sign_file(file, officer_key, passphrase_file=passphrase_file, yes=yes)


@app.command()
def decline(
    reason: Reason,
    counter: Annotated[
        Path | None, typer.Option(help="The agreement's file as this hospital would sign it.")
    ] = None,
    agreement: Digest = "",
    export: Export = None,
    passphrase_file: Passphrase = None,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Say no to the proposed agreement, signed with the officer's key.

    Example: concilium-site decline --reason "the noise is too low for us" --counter ours.yaml
    """
    from governance.agreement.load import load
    from site_agent import consenting, desk, office

    with desk.opened(site, federation) as m:
        document = desk.proposal(m, agreement)
        wanted = load(counter) if counter is not None else None
        draft = m.store.look(lambda c: office.decline_draft(c, m, document, reason, wanted))
        if export is not None:
            consenting.export(draft, export)
        else:
            if wanted is not None:
                terminal.tell(draft.shown.rstrip())
            _deliver(m, draft, passphrase_file)


@app.command()
def pause(site: SiteFile = HERE, federation: Federation = None) -> None:
    """Stop taking tasks now; a task at work is cancelled. Reversible, without consequence.

    Example: concilium-site pause
    """
    from site_agent import consenting, desk

    with desk.opened(site, federation) as m:
        consenting.pause(m)


@app.command()
def resume(
    export: Export = None,
    passphrase_file: Passphrase = None,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Take tasks again after a pause, signed with the officer's key.

    Example: concilium-site resume
    """
    from governance.consent import Consent
    from site_agent import consenting, desk, office

    with desk.opened(site, federation) as m:
        document = desk.in_state(m, Consent.PAUSED, Consent.OBJECTED)
        draft = m.store.look(lambda c: office.resume_draft(c, m, document))
        if export is not None:
            consenting.export(draft, export)
        else:
            _deliver(m, draft, passphrase_file)


@app.command(name="object")
def object_to(
    reason: Reason,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Object to the agreement in force: no task from now on, until the officer resumes.

    Example: concilium-site object --reason "the deadline does not fit our nights"
    """
    from site_agent import consenting, desk

    with desk.opened(site, federation) as m:
        consenting.object_to(m, reason)


@app.command()
def withdraw(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what follows.")] = False,
    yes: Yes = False,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Withdraw from the agreement: no further task; this hospital stays enrolled.

    Example: concilium-site withdraw --dry-run
    """
    from site_agent import consenting, desk

    with desk.opened(site, federation) as m:
        consenting.withdraw(m, dry_run=dry_run, yes=yes)


@app.command()
def run(site: SiteFile = HERE) -> None:
    """Run the long-lived agent; one process serves all federations of this hospital.

    Example: concilium-site run
    """
    from governance.settings import load_site
    from site_agent import process

    process.run(load_site(site))


@app.command("rotate-key")
def rotate_key(
    usage: Annotated[str, typer.Argument(help="agent or officer")],
    passphrase_file: Passphrase = None,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="For a new officer key.")
    ] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Replace a key: the old one signs the new one, and the officer vouches for it.

    Example: concilium-site rotate-key agent
    """
    from site_agent import consenting, desk

    with desk.opened(site, federation) as m:
        consenting.rotate(m, usage, old=passphrase_file, new=new_passphrase_file)


@app.command("rehearsal-figures", hidden=True)
def rehearsal_figures(
    sites: Annotated[list[Path], typer.Argument(help="Every hospital's site.yaml.")],
    document: Annotated[Path, typer.Option(help="The agreement's canonical bytes.")],
    model: Annotated[Path, typer.Option(help="The federated model.")],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    scales: Annotated[Path | None, typer.Option(help="What values are normalised by.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all noise.")] = None,
) -> None:
    """Compare naive, alone, federated and central models; only where all is a rehearsal's."""
    from site_agent import rehearsal_figures

    rehearsal_figures.baselines(document, sites, model, out, scales=scales, seed=seed)


def _deliver(m: Membership, draft: Draft, passphrase_file: Path | None) -> None:
    from site_agent import consenting

    consenting.sign_and_deliver(m, draft, passphrase_file)
