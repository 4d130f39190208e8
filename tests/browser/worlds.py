"""The companies a browser looks at: small published files of which each figure is known."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dashboard"))

import hostile_world
import success_world
import tiny_engine
import tiny_orders
import tiny_world

FIRST_BUILD = "20250401T0430-a1"


def publish(home: Path) -> None:
    """`lumen` has subscriptions, `bazaar` orders, `vela` scores, terms and accounts to look after; `mallory`
    and `oscar` are lumen and vela with hostile names; `tiny` is a billing database and nothing published."""
    tiny_world.publish(home / "lumen", FIRST_BUILD, tiny_world.fill_subscriptions, title=("Lumen", "لومن"))
    tiny_world.publish(home / "bazaar", FIRST_BUILD, tiny_orders.fill_orders, title=("Bazaar", "بازار"))
    success_world.publish(home / "vela")
    hostile_world.publish(home / "mallory", FIRST_BUILD)
    hostile_world.publish(home / "oscar", FIRST_BUILD, success_world.fill)
    tiny_engine.publish(home / "tiny")
