"""`tajdid keys`: which programs may call the API of a company."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from tajdid.billing_commands import opened
from tajdid.console import CompanyOption, actor, chosen, console, day_of, now, print_fields, say

if TYPE_CHECKING:
    from billing.service.api_keys import Mode
    from tajdid.workspace import Company

keys_app = typer.Typer(no_args_is_help=True, help="Keys of the API: which programs may call, and what.")
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `tajdid keys list` shows it.")]


@keys_app.command(name="create")
def create_command(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str],
        typer.Option("--scope", help="What it may do, as invoices:read or *:admin; may come again."),
    ],
    company: CompanyOption = None,
    owner: Annotated[
        str | None, typer.Option(help="Whose it is, also when it is rolled; default who calls this command.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option(help="It sees this customer and those below alone; default everything.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="The first day on which it opens nothing.")] = None,
) -> None:
    """Make a key. It is printed once and kept nowhere.

    Example: tajdid keys create warehouse --scope usage:write --company atlas
    """
    from billing.api.versions import known
    from billing.service.api_keys import create_key, mint

    one = chosen(company)
    minted = mint(_mode(one))
    with opened(one) as store:
        key_id = create_key(
            store,
            now(),
            owner=owner or actor(),
            name=name,
            prefix=minted.prefix,
            key_hash=minted.key_hash,
            scopes=scope,
            version=known()[-1],
            customer_id=customer,
            expires_at=datetime.combine(day_of(expires), time(), UTC) if expires else None,
        )
    say(f"{key_id}: keep this now, it is not shown again:")
    say(minted.token)


@keys_app.command(name="list")
def list_command(company: CompanyOption = None) -> None:
    """List the keys, also those that are over, without what would prove them.

    Example: tajdid keys list --company atlas
    """
    from billing.reads.keys import keys
    from billing.reads.page import MOST
    from billing.reads.scope import everything

    names = ("key_id", "owner", "name", "prefix", "scopes", "customer_id", "expires_at", "revoked_at")
    table = Table(*names, "last_used_on")
    after = None
    with opened(chosen(company)) as store:
        while True:
            page = keys(store, everything(), after=after, limit=MOST)
            for row in page.rows:
                cells = (row[name] for name in (*names, "last_used_on"))
                table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
            after = page.after
            if after is None:
                break
    console.print(table)


@keys_app.command(name="revoke")
def revoke_command(key_id: KeyId, company: CompanyOption = None) -> None:
    """End a key. A server that looked it up just now takes it for ten seconds more at most.

    Example: tajdid keys revoke ak_000100000000001a2b3c --company atlas
    """
    from billing.service.api_keys import revoke_key

    with opened(chosen(company)) as store:
        revoke_key(store, now(), key_id=key_id)
    say(f"{key_id} opens nothing any more.")


@keys_app.command(name="forget")
def forget_command(company: CompanyOption = None) -> None:
    """Delete what is kept for a time: answers to requests (30 days), calls and keys that ended (400 days).

    Call it daily.

    Example: tajdid keys forget --company atlas
    """
    from billing.jobs.forget import forget

    with opened(chosen(company), failed=1) as store:
        print_fields(dict(forget(store, now())))


def _mode(company: Company) -> Mode:
    return "live" if getattr(company, "mode", "live") == "live" else "test"
