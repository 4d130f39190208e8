"""Parameters of an address: one that the route does not know, or that comes twice, is refused, so that nobody
takes a list for narrower than it is."""

from __future__ import annotations

from fastapi import Request
from fastapi._compat import field_annotation_is_sequence
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from billing.web.problems import Problem


async def check_parameters(request: Request) -> None:
    """Raises Problem `bad_parameter`."""
    given = request.query_params.multi_items()
    if not given:
        return
    once, often = _known(request)
    seen: set[str] = set()
    for name, _value in given:
        if name not in once and name not in often:
            raise Problem("bad_parameter", "there is no such parameter here", field=name[:100])
        if name in seen and name not in often:
            raise Problem("bad_parameter", "it comes twice", field=name)
        seen.add(name)


def _known(request: Request) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the parameters of the route that come once, and of its lists; kept by its path and method."""
    kept: dict[tuple[str, str], tuple[frozenset[str], frozenset[str]]] = request.app.state.parameters
    route: APIRoute = request.scope["route"]
    of = request.method, route.path
    if of not in kept:
        asked = [one for one in get_flat_params(route.dependant) if isinstance(one.field_info, Query)]
        often = frozenset(
            one.alias for one in asked if field_annotation_is_sequence(one.field_info.annotation)
        )
        kept[of] = frozenset(one.alias for one in asked) - often, often
    return kept[of]
