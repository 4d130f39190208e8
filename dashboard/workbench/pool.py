"""The workers of a server: started for a question, given one at a time, replaced when they die.

A question is asked in the background; the page looks at it until it has ended. A worker that does not stop
when it should is killed: nothing it does can hold up the dashboard.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

WORKERS = 3
QUERIES_A_READER = 2
ROW_LIMIT = 10_000
SECONDS = 30.0
UNHEARD = "unheard"
AT_ONCE = 1.0
"""A worker that is gone so soon has most likely died before: the question is asked once more."""
GRACE = 3.0
"""How long a worker has to stop by itself, beyond the limit or after being told to."""
PROJECT = Path(__file__).resolve().parents[2]


class Busy(Exception):
    """The reader's own questions already run in the number that is allowed."""


@dataclass(frozen=True)
class Place:
    """Where a question is asked: a snapshot's file, the statements that attach it as the reader may see it.

    `is_whole`: they let the reader see all of it.
    """

    path: str
    statements: tuple[str, ...]
    is_whole: bool = True


@dataclass(frozen=True)
class Value:
    """A parameter's value as it is written. `kind`: text, whole, number, day, instant, yes_no, nothing."""

    kind: str
    text: str


@dataclass(frozen=True)
class Answer:
    """How a question ended.

    `state`: answered, refused or failed; `code` says why (workbench/words.py has the sentences), `detail` is
    the name or the engine's message it is about. `is_cut`: there was more than was fetched.
    """

    state: str
    code: str = ""
    detail: str = ""
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)
    is_cut: bool = False
    seconds: float = 0.0


@dataclass
class Question:
    """A question under way; `answer` is None until it has ended."""

    question_id: str
    reader_id: str
    text: str
    answer: Answer | None = None
    is_stopped: bool = False
    worker: Worker | None = None
    began: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> Answer | None:
        """The answer, if it comes within so many seconds."""
        self.ended.wait(seconds)
        return self.answer


class Worker:
    """One process and its pipes, ready for questions. Raises OSError or EOFError if it does not start."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(PROJECT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
            close_fds=True,
        )
        self._read()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Send a question, read its answer. Raises OSError, EOFError or ValueError when the process ends."""
        self._write(message)
        return self._read()

    def _read(self) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        head: dict[str, Any] = json.loads(line)
        body = self._process.stdout.read(head["bytes"])
        if len(body) != head["bytes"]:
            raise ValueError("the answer broke off")
        return head, body

    def stop(self, question_id: str) -> None:
        self._write({"stop": question_id})

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what could not be sent is lost with the process
                    continue


# The project stands in no environment variable, and the worker's folder is not one it could read from.
START = "import sys; sys.path.insert(0, sys.argv.pop()); from dashboard.workbench.worker import main; main()"


class Pool:
    """Some workers, shared by all readers of a server.

    `seconds` is how long a question may take, `grace` how long a worker then has to stop by itself.
    """

    def __init__(self, workers: int = WORKERS, seconds: float = SECONDS, grace: float = GRACE) -> None:
        self.seconds, self.grace = seconds, grace
        self._free: list[Worker] = []
        self._places = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._asked: dict[str, Question] = {}
        self._is_warming = False

    def start(
        self,
        reader_id: str,
        place: Place,
        text: str,
        values: Mapping[str, Value],
        on_end: Callable[[Question, Answer], None] = lambda _question, _answer: None,
        rows: int = ROW_LIMIT,
    ) -> Question:
        """Ask in the background. `on_end` is told of the end, whatever it is, before the question shows it.

        Raises Busy when the reader already has as many questions running as one reader may.
        """
        question = Question(uuid.uuid4().hex, reader_id, text)
        with self._lock:
            own = sum(1 for other in self._asked.values() if other.reader_id == reader_id)
            if own >= QUERIES_A_READER:
                raise Busy
            self._asked[question.question_id] = question
        message = {
            "id": question.question_id,
            "text": text,
            "values": {name: {"kind": value.kind, "text": value.text} for name, value in values.items()},
            "rows": rows,
            "seconds": self.seconds,
            "place": {
                "path": place.path,
                "statements": list(place.statements),
                "is_whole": place.is_whole,
            },
        }
        threading.Thread(target=self._work, args=(question, message, on_end), daemon=True).start()
        return question

    def warm(self) -> None:
        """Start a worker in the background, if none waits and none works: the first question finds it."""
        with self._lock:
            if self._free or self._asked or self._is_warming:
                return
            self._is_warming = True
        threading.Thread(target=self._warm, daemon=True).start()

    def _warm(self) -> None:
        try:
            self._give_back(Worker())
        except (OSError, EOFError):
            return  # the first question will tell
        finally:
            self._is_warming = False

    def running(self, reader_id: str) -> Sequence[Question]:
        """The questions of a reader that have not ended."""
        with self._lock:
            return [question for question in self._asked.values() if question.reader_id == reader_id]

    def stop(self, question: Question) -> None:
        """Stop a question: at once if it has not begun, else as soon as the worker notices or is killed."""
        with self._lock:
            question.is_stopped = True
            worker = question.worker
        if worker is not None:
            try:
                worker.stop(question.question_id)
            except OSError:
                return
            timer = threading.Timer(self.grace, self._kill_if_at_it, [worker, question])
            timer.daemon = True
            timer.start()

    def pids(self) -> list[int]:
        """The processes that wait for a question."""
        with self._lock:
            return [worker.pid for worker in self._free]

    def close(self) -> None:
        with self._lock:
            workers, self._free = self._free, []
        for worker in workers:
            worker.kill()

    def _kill_if_at_it(self, worker: Worker, question: Question) -> None:
        with self._lock:
            is_at_it = question.worker is worker
        if is_at_it and not question.ended.is_set():
            worker.kill()

    def _work(
        self, question: Question, message: Mapping[str, Any], on_end: Callable[[Question, Answer], None]
    ) -> None:
        with self._places:
            answer = Answer("failed", "stopped") if question.is_stopped else self._answer(question, message)
            if answer.code == UNHEARD:  # the worker had died while it waited
                answer = self._answer(question, message)
            if answer.code == UNHEARD:
                answer = Answer("failed", "ended")
        with self._lock:
            del self._asked[question.question_id]
        try:
            on_end(question, answer)
        except Exception:
            # An answer that cannot be put on record is not given.
            answer = Answer("failed", "not_recorded")
        question.answer = answer
        question.ended.set()

    def _answer(self, question: Question, message: Mapping[str, Any]) -> Answer:
        try:
            worker = self._taken()
        except (OSError, EOFError):
            return Answer("failed", "ended")
        killer = threading.Timer(self.seconds + self.grace, worker.kill)
        killer.daemon = True
        began = time.monotonic()
        with self._lock:
            if question.is_stopped:  # while the worker started
                self._free.append(worker)
                return Answer("failed", "stopped")
            question.worker = worker
        killer.start()
        try:
            head, body = worker.ask(message)
            rows = _frame(body)
        except (OSError, ValueError, EOFError, pa.ArrowException):
            worker.kill()
            seconds = round(time.monotonic() - began, 3)
            if seconds < min(AT_ONCE, self.seconds) and not question.is_stopped:
                return Answer("failed", UNHEARD)
            return Answer("failed", self._why_it_died(question, seconds), seconds=seconds)
        finally:
            killer.cancel()
            with self._lock:
                question.worker = None
        if head["code"] == "memory":  # it ends by itself: what it took is only given back that way
            worker.kill()
        else:
            self._give_back(worker)
        return Answer(
            head["state"], head["code"], head["detail"], rows, head.get("is_cut", False), head["seconds"]
        )

    def _why_it_died(self, question: Question, seconds: float) -> str:
        if question.is_stopped:
            return "stopped"
        return "late" if seconds >= self.seconds else "ended"

    def _taken(self) -> Worker:
        with self._lock:
            while self._free:
                worker = self._free.pop()
                if worker.is_alive:
                    return worker
                worker.kill()
        return Worker()

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._free.append(worker)


def _frame(body: bytes) -> pl.DataFrame:
    """Rows from Arrow; nothing where there is no answer."""
    if not body:
        return pl.DataFrame()
    with pa.ipc.open_stream(body) as stream:
        return pl.DataFrame(pl.from_arrow(stream.read_all()))
