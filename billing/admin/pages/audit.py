"""Who did what: the audit log, by customer, actor, subject or act."""

from __future__ import annotations

import json
from typing import Any

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.reads import books

_LONGEST = 200
"""Signs of the arguments that a row shows."""


def listed(visit: Visit) -> Screen:
    """Entries that fit all that is named, the newest first."""
    _ = visit.words.gettext
    asked = {name: visit.asked(name) for name in ("customer", "actor", "subject", "act")}
    after = visit.place("audit", **asked)
    with visit.context.looking() as store:
        found = books.audit(
            store,
            ALL,
            after=after,
            limit=PAGE_ROWS,
            customer_id=asked["customer"],
            actor=asked["actor"],
            subject_id=asked["subject"],
            act=asked["act"],
        )
    rows = [
        [
            Cell(visit.words.moment(row["happened_at"], "UTC")),
            visit.code(row["act"], path_to("audit", act=row["act"])),
            naming.state(visit.words, row["outcome"]),
            visit.data(row["actor"], path_to("audit", actor=row["actor"])),
            visit.code(row["subject_id"], path_to("audit", subject=row["subject_id"])),
            visit.code(
                row["customer_id"], path_to("customers", row["customer_id"]) if row["customer_id"] else None
            ),
            visit.code(row["code"] or _said(row["arguments"])),
        ]
        for row in found.rows
    ]
    labels = {"customer": _("Customer id"), "actor": _("Actor"), "subject": _("Subject"), "act": _("Act")}
    filters = Form(
        path_to("audit"),
        _("Show"),
        [Ask(name, label, asked[name] or "", "search", is_code=True) for name, label in labels.items()],
        "get",
    )
    table = Table(
        _("The newest first, in UTC"),
        [_("When"), _("Act"), _("Outcome"), _("Actor"), _("Subject"), _("Customer"), _("Detail")],
        rows,
        _("There is no such entry."),
        more=visit.following(found, "audit", **asked),
    )
    return Screen(_("Audit"), [Section("", table=table)], filters=filters, current="audit")


def _said(arguments: Any) -> str | None:
    if not arguments:
        return None
    text = json.dumps(arguments, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
