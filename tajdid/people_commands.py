"""`tajdid people`: who may sign in to the dashboard, and which roles they have in which company."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from tajdid.console import CompanyOption, actor, chosen, console, home, now, say, stop

if TYPE_CHECKING:
    from dashboard.people.settings import SignIn
    from dashboard.records.database import Records

people_app = typer.Typer(
    no_args_is_help=True, help="People of the dashboard: who may sign in, and which roles they have."
)
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Sign-in name: an e-mail address, or one word.")
]
OwnerOption = Annotated[
    str | None, typer.Option("--owner", help="Whose accounts they look after, as the CRM writes the name.")
]


@people_app.command()
def add(
    name: NameArgument,
    role: Annotated[
        list[str],
        typer.Option("--role", help="executive, cs_manager, csm, analyst, finance or admin; may come again."),
    ],
    company: CompanyOption = None,
    owner: OwnerOption = None,
    called: Annotated[
        str | None, typer.Option("--called", help="The name that is shown; else the sign-in name.")
    ] = None,
) -> None:
    """Let somebody sign in, with one role or more in a company. Asks for a password unless OIDC is set up.

    Example: tajdid people add sara@example.com --role csm --owner "Sara Haddad" --company atlas
    """
    from dashboard.people import directory

    one = chosen(company)
    with people() as (settings, list_of_people):
        _check_roles(role, owner)
        password = None if settings.kind == "oidc" else asked_password(name)
        directory.add(list_of_people, now(), actor(), name, called or name, password)
        for each in role:
            directory.give_role(list_of_people, now(), actor(), name, one.name, each, owner)
    say(f"{directory.normal(name)} may sign in: {', '.join(role)} in {one.name}.")
    if settings.kind == "none":
        say('Sign-in is not set up yet: write kind = "password" under [sign_in] in dashboard.toml.')


@people_app.command(name="role")
def change_role(
    name: NameArgument,
    role: Annotated[str, typer.Argument(help="The role to give, or to take.")],
    company: CompanyOption = None,
    owner: OwnerOption = None,
    take: Annotated[bool, typer.Option("--take", help="Take the role away.")] = False,
) -> None:
    """Give somebody a role in a company, or take it.

    Example: tajdid people role sara@example.com cs_manager --company atlas
    """
    from dashboard.people import directory

    one = chosen(company)
    with people() as (_, list_of_people):
        if take:
            directory.take_role(list_of_people, now(), actor(), name, one.name, role)
        else:
            directory.give_role(list_of_people, now(), actor(), name, one.name, role, owner)
    say(f"{directory.normal(name)}: {'no longer ' if take else ''}{role} in {one.name}.")


@people_app.command()
def password(name: NameArgument) -> None:
    """Give somebody another password; their sessions end.

    Example: tajdid people password sara@example.com
    """
    from dashboard.people import directory

    with people() as (_, list_of_people):
        directory.set_password(list_of_people, now(), actor(), name, asked_password(name))
    say(f"{directory.normal(name)} has another password.")


@people_app.command()
def remove(name: NameArgument) -> None:
    """Take somebody off the list; their sessions end at once.

    Example: tajdid people remove sara@example.com
    """
    from dashboard.people import directory

    with people() as (_, list_of_people):
        directory.remove(list_of_people, now(), actor(), name)
    say(f"{directory.normal(name)} can no longer sign in.")


@people_app.command(name="list")
def listing() -> None:
    """List who may sign in, with their roles.

    Example: tajdid people list
    """
    from dashboard.people import directory

    with people() as (_, list_of_people):
        everybody = directory.everybody(list_of_people)
    table = Table("sign-in name", "name", "company", "roles", "accounts of")
    for person in everybody:
        rows = sorted(person.roles.items()) or [("", frozenset())]
        for company, roles in rows:
            cells = (
                person.reader_id,
                person.name,
                company,
                ", ".join(sorted(roles)),
                person.owners.get(company, ""),
            )
            table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


@people_app.command()
def audit(
    company: Annotated[
        str | None,
        typer.Option("--company", help="Exports and queries of this company; else sign-ins and roles."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many lines.")] = 50,
) -> None:
    """Tell who took what out and who asked what; without a company, who signed in and who changed roles.

    Example: tajdid people audit --company atlas
    """
    from dashboard.companies import companies
    from dashboard.records import audit as records_audit
    from dashboard.records.database import open_records

    with people() as (_, list_of_people):
        records = list_of_people
        if company is not None:
            chosen(company)
            url = next(one.records_url for one in companies(home()) if one.name == company)
            records = open_records(url or "")
        lines = records_audit.lines(records, limit)
    table = Table("at", "who", "what", "about", "detail")
    for line in lines:
        cells = (f"{line['recorded_at']:%Y-%m-%d %H:%M:%S}", line["recorded_by"], line["act"])
        table.add_row(*(Text(cell) for cell in (*cells, line["subject"], line["detail"] or "")))
    console.print(table)


@contextmanager
def people() -> Iterator[tuple[SignIn, Records]]:
    """The settings of sign-in and the list of people; what goes wrong ends the command with one sentence."""
    from dashboard.people.directory import DirectoryError, open_people
    from dashboard.people.settings import SettingsError, read_sign_in
    from dashboard.records.database import RecordsError

    try:
        settings = read_sign_in(home())
        yield settings, open_people(settings.people_url)
    except (DirectoryError, SettingsError) as error:
        stop(str(error), 2)
    except RecordsError as error:
        stop(str(error), 1)


def asked_password(name: str) -> str:
    """A password, asked for twice and never shown, as it is kept. One that is too weak ends the command."""
    from dashboard.people import passwords

    given = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    weakness = passwords.weakness(given, name)
    if weakness:
        stop(weakness, 2)
    return passwords.kept(given)


def _check_roles(roles: list[str], owner: str | None) -> None:
    """Refuse before a password is asked for."""
    from dashboard.people.permissions import OWN_ACCOUNTS, ROLES

    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        stop(f"There is no role {unknown[0]}; there are {', '.join(ROLES)}.", 2)
    if OWN_ACCOUNTS in roles and not owner:
        stop("A csm sees the accounts of an owner: say which with --owner.", 2)
