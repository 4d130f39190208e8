"""Sources: one module each, with a function `load(stage, config)` that fills raw tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipelines.sources import app, billing, crm, orders, periods, rates, stripe
from pipelines.sources.loading import SourceConfig, Stage

KINDS: Mapping[str, Callable[[Stage, SourceConfig], None]] = {
    "app": app.load,
    "billing": billing.load,
    "crm": crm.load,
    "orders": orders.load,
    "periods": periods.load,
    "rates": rates.load,
    "stripe": stripe.load,
}
