"""A seeded B2B world that acts only through the engine's acts and jobs."""

from billing.simulator.world import WorldSummary, simulate

__all__ = ["WorldSummary", "simulate"]
