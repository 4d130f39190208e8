"""Checks of who did what: the audit log."""

from __future__ import annotations

from sqlalchemy import and_, exists, or_

from billing.jobs.doctor.check import Check, dangling, rows
from billing.store.tables import approvals, audit_log, customers

_IS_DONE = audit_log.c.outcome == "done"

ACTS = (
    Check(
        "audit_code",
        "audit_log",
        "An entry ended in a way there is, and says why where it is not done, and only there.",
        rows(
            audit_log,
            or_(
                audit_log.c.outcome.not_in(["done", "refused", "held", "failed"]),
                and_(_IS_DONE, audit_log.c.code.is_not(None)),
                and_(~_IS_DONE, audit_log.c.code.is_(None)),
            ),
            audit_log.c.outcome,
        ),
    ),
    Check(
        "audit_approval",
        "audit_log",
        "An act that was held names the approval it waits for.",
        rows(
            audit_log,
            and_(
                audit_log.c.outcome == "held",
                ~exists().where(approvals.c.approval_id == audit_log.c.subject_id),
            ),
            audit_log.c.subject_id,
        ),
    ),
    Check(
        "audit_customer",
        "audit_log",
        "What was done about a customer was done about one that is there.",
        dangling(audit_log.c.customer_id, customers.c.customer_id, _IS_DONE),
    ),
)
"""An approval may well be decided without an entry: the log began later than approvals did."""
