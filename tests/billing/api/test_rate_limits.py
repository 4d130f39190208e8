"""How often somebody may ask: what is left is told, and one caller does not use up what is another's."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from billing.api.app import MANY
from billing.web.problems import Problem
from billing.web.rates import LimitRates, Rate, Rates

RATES = Rates(
    read=Rate(2, 4),
    write=Rate(1, 2),
    bulk=Rate(0.5, 1),
    unknown=Rate(1, 3),
    failures=Rate(1 / 10, 3),
    bulk_paths=frozenset(("/bulk",)),
)
Ask = Callable[..., tuple[int, dict[str, str]]]


class SetClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def ask(clock: SetClock) -> Ask:
    return asking(LimitRates(answering, RATES, clock))


async def answering(scope: Scope, _receive: Receive, send: Send) -> None:
    """Takes keys that begin with `good`; `/open` is answered to everybody."""
    key = dict(scope["headers"]).get(b"authorization", b"")
    is_open = scope["path"] == "/open"
    if not is_open and key.startswith(b"good"):
        scope["caller"] = "key:" + key.decode()
    status = 200 if is_open or key.startswith(b"good") else 401
    await send({"type": "http.response.start", "status": status, "headers": []})


def asking(app: LimitRates) -> Ask:
    def ask(
        key: str | None = "good", method: str = "GET", path: str = "/", address: str = "192.0.2.1"
    ) -> tuple[int, dict[str, str]]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError

        headers = [] if key is None else [(b"authorization", key.encode())]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": (address, 1)}
        try:
            anyio.run(app, scope, receive, send)
        except Problem as problem:
            return problem.status, problem.headers
        return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}

    return ask


def test_what_is_left_is_told_and_too_much_is_refused_until_it_has_come_back(
    ask: Ask, clock: SetClock
) -> None:
    left = [ask()[1]["ratelimit"] for _time in range(4)]
    assert left == ['"read";r=3;t=1', '"read";r=2;t=1', '"read";r=1;t=2', '"read";r=0;t=2']
    status, headers = ask()
    assert (status, headers["Retry-After"], headers["RateLimit-Policy"]) == (429, "1", '"read";q=4;w=2')
    clock.now += 0.4
    assert ask()[0] == 429
    clock.now += 0.1
    assert ask()[0] == 200
    assert ask()[0] == 429
    clock.now += 1_000
    assert [ask()[0] for _time in range(5)] == [200, 200, 200, 200, 429]


@pytest.mark.parametrize("path", ["/v1/bulk", "/v1/usage-events/bulk"])
def test_what_carries_many_things_at_once_is_a_bulk(path: str) -> None:
    rates = Rates(bulk_paths=frozenset(MANY))
    assert rates.of({"path": path, "method": "POST"}, True) == ("bulk", rates.bulk)


def test_reads_writes_and_bulks_are_counted_apart_and_callers_too(ask: Ask) -> None:
    assert [ask(method="POST")[0] for _time in range(3)] == [200, 200, 429]
    assert [ask(method="POST", path="/bulk")[0] for _time in range(2)] == [200, 429]
    assert ask()[0] == 200
    assert ask(key="good other", method="POST")[0] == 200


def test_who_brings_no_key_is_counted_by_address(ask: Ask) -> None:
    assert [ask(key=None, path="/open")[0] for _time in range(4)] == [200, 200, 200, 429]
    assert ask(key=None, path="/open", address="192.0.2.2")[0] == 200
    assert ask()[0] == 200


def test_who_guesses_keys_is_not_listened_to_and_who_has_one_still_is(ask: Ask, clock: SetClock) -> None:
    assert ask(key="good")[0] == 200
    assert [ask(key=f"guess {number}")[0] for number in range(5)] == [401, 401, 401, 429, 429]
    # Not even a key that would be taken: whether it is, is what a guess is to find out.
    status, headers = ask(key="good unseen")
    assert (status, int(headers["Retry-After"])) == (429, 10)
    assert ask(key="good")[0] == 200
    assert ask(key="good unseen", address="192.0.2.2")[0] == 200
    clock.now += 10
    assert ask(key="guess again")[0] == 401


def test_a_key_is_not_taken_for_good_by_what_needs_none(ask: Ask) -> None:
    for number in range(3):
        ask(key=f"guess {number}")
    assert ask(key="guess open", path="/open")[0] == 429
    assert ask(key="guess open", path="/open", address="192.0.2.3")[0] == 200
    assert ask(key="guess open")[0] == 429


def test_processes_that_serve_side_by_side_share_a_rate(clock: SetClock) -> None:
    ask = asking(LimitRates(answering, Rates(read=Rate(4, 4), shares=2), clock))
    assert [ask()[0] for _time in range(3)] == [200, 200, 429]
    clock.now += 0.5
    assert [ask()[0] for _time in range(2)] == [200, 429]


def test_whoever_watches_the_process_is_never_refused(ask: Ask) -> None:
    assert {ask(key=None, path="/health/live")[0] for _time in range(20)} == {401}
    assert ask(key=None, path="/open")[0] == 200


def test_what_a_page_is_made_of_is_never_refused(ask: Ask) -> None:
    """A page asks for its style, scripts and fonts; colleagues behind one address ask at once."""
    for surface in ("portal", "admin"):
        path = f"/{surface}/assets/style.css"
        assert 429 not in {ask(key=None, path=path)[0] for _time in range(20)}
    assert ask(key=None, path="/open")[0] == 200


def test_who_asked_longest_ago_is_forgotten_first(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.web.rates._MOST_CALLERS", 3)
    assert [ask(key="good 0", path="/bulk", method="POST")[0] for _time in range(2)] == [200, 429]
    for number in (1, 2):
        ask(key=f"good {number}")
    assert ask(key="good 0", path="/bulk", method="POST")[0] == 429
    for number in (3, 4, 5):
        ask(key=f"good {number}")
    assert ask(key="good 0", path="/bulk", method="POST")[0] == 200
