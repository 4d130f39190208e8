"""Rows between PostgreSQL and files, as COPY takes them."""

from __future__ import annotations

from pathlib import Path

from billing.store.store import Store


def copy_out(store: Store, asked: str, path: Path) -> int:
    """Write what a COPY ... TO STDOUT gives to a file; how many rows."""
    with path.open("wb") as file, store._cursor() as cursor:
        with cursor.copy(asked) as blocks:
            for block in blocks:
                file.write(block)
        return int(cursor.rowcount)


def copy_in(store: Store, into: str, path: Path) -> None:
    """Give a file to a COPY ... FROM STDIN."""
    with path.open("rb") as file, store._cursor() as cursor, cursor.copy(into) as copy:
        while block := file.read(1 << 20):
            copy.write(block)
