"""`tests.bench.resilience.lease_races --races 1000`: do two ever hold one token, does a late commit show? As JSON.

Three processes race for one lease, on the disk and (--s3) on moto. In four races of five its holder is dead, has
committed something that is not visible yet, and all find it at the same moment. In every fifth one of them holds it and
commits without end, is stopped (SIGSTOP) at any moment, and goes on once another has taken over, at once or after that
one has ended. Who holds the lease lists what is visible when it begins, commits some objects that bear its token, and
ends.

`token_twice`: tokens that two had; `stale_visible`: objects with an older token that were not visible when a newer
holder began; `lost`: commits that were told to be done and are not visible; `took_over`: holders that found another's
lease and took it; `woken`: holders that were stopped, taken over, and went on.
"""

import argparse
import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from multiprocessing.connection import Connection, wait
from typing import Any

from infra.errors import Incomplete, TakenOver
from infra.progress import Progress
from infra.root import lease
from infra.root.journal import Effect, Entry, Journal
from infra.root.lease import Lease
from infra.root.owner import this_process
from infra.storage.s3 import connect
from infra.storage.store import Store

BEAT_SECONDS, WATCH_SECONDS = 0.05, 0.3
CONTENDERS = 3
COMMITS = 3
PAUSED_EVERY = 5
WITHOUT_END = 10_000
LONGEST_SECONDS = 60.0
SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.resilience.lease_races", description=__doc__)
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--s3", action="store_true", help="on moto instead of the disk")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.s3:
            stack.enter_context(one_put_at_a_time())
            connect().call_s3("create_bucket", Bucket="races")
            root = "s3://races/root"
        else:
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="lease-races-"))
        result = run(root, options.races, options.seed)
    print(json.dumps(result))


def run(root: str, n_races: int, seed: int) -> dict[str, Any]:
    """That many races on leases under a root."""
    started, total, rng = time.perf_counter(), Counter[str](), random.Random(seed)
    with racers(root) as all_of_them, Progress(n_races, "races", "races") as progress:
        for number in range(n_races):
            folder = f"races/{number:05d}"
            if number % PAUSED_EVERY == PAUSED_EVERY - 1:
                total += paused_race(Store(root), folder, all_of_them, rng)
            else:
                total += dead_race(Store(root), folder, all_of_them)
            progress.advance()
    names = ("token_twice", "stale_visible", "lost", "took_over", "woken")
    minutes = round((time.perf_counter() - started) / 60, 1)
    return {"races": n_races, **{name: total[name] for name in names}, "minutes": minutes}


def dead_race(store: Store, folder: str, racers: list["Racer"]) -> Counter[str]:
    """All find the lease of a process that is gone, between its entry and what that makes visible."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    owner = {**this_process(), "pid": gone.pid}
    left = Effect(create=((f"{folder}/visible/{1:08d}-left", ""),))
    assert Journal(store, f"{folder}/lease").put(Entry(1, "the race", 1, 1, owner, effect=left))
    for racer in racers:
        racer.start(folder, COMMITS, tries=1)
    told = [message for racer in racers for message in racer.until_end()]
    return verdict(store, folder, told, {1: [f"{1:08d}-left"]})


def paused_race(store: Store, folder: str, racers: list["Racer"], rng: random.Random) -> Counter[str]:
    """One holds it and is stopped; the others wait for it to be taken for dead."""
    first, *others = rng.sample(racers, len(racers))
    first.start(folder, WITHOUT_END, tries=1)
    told = [first.next()]
    time.sleep(rng.random() * 0.1)
    first.signal(signal.SIGSTOP)
    for racer in others:
        racer.start(folder, COMMITS, tries=WITHOUT_END)
    by_connection = {racer.connection: racer for racer in others}
    ready = wait(by_connection, LONGEST_SECONDS)
    assert ready, "nobody took over"
    told.append(by_connection[ready[0]].next())
    if rng.random() < 0.5:
        told += [message for racer in others for message in racer.until_end()]
    first.signal(signal.SIGCONT)
    told += [message for racer in (first, *others) for message in racer.until_end()]
    return verdict(store, folder, told) + Counter(woken=1)


def verdict(
    store: Store, folder: str, told: list[dict[str, Any]], before: dict[int, list[str]] | None = None
) -> Counter[str]:
    """What the holders told, against what is visible in the end."""
    visible = set(store.names(f"{folder}/visible"))
    begun = [message for message in told if message["kind"] == "begun"]
    tokens = Counter(message["token"] for message in begun)
    assert begun, "nobody took the lease"
    stale = {
        name
        for message in begun
        for name in visible - {*message["visible"]}
        if int(name[:8]) < message["token"]
    }
    done = [name for message in told if message["kind"] == "end" for name in message["done"]]
    done += [name for names in (before or {}).values() for name in names]
    return Counter(
        token_twice=sum(count > 1 for count in tokens.values()),
        stale_visible=len(stale),
        lost=len(set(done) - visible),
        took_over=sum(message["took_over"] for message in begun),
    )


class Racer:
    """A process that runs for leases when told to."""

    def __init__(self, root: str) -> None:
        self.connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_race, args=(root, theirs), daemon=True)
        self._process.start()
        self._is_racing = False

    def start(self, folder: str, n_commits: int, tries: int) -> None:
        self.connection.send((folder, n_commits, tries))
        self._is_racing = True

    def next(self) -> dict[str, Any]:
        """What it says next."""
        assert self.connection.poll(LONGEST_SECONDS), "a racer is silent"
        message = self.connection.recv()
        assert message["kind"] != "error", message
        self._is_racing = message["kind"] != "end"
        return message

    def until_end(self) -> Iterator[dict[str, Any]]:
        while self._is_racing:
            yield self.next()

    def signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> None:
        self._process.kill()
        self._process.join()


@contextmanager
def racers(root: str) -> Iterator[list[Racer]]:
    started = [Racer(root) for _ in range(CONTENDERS)]
    try:
        for racer in started:
            racer.next()
        yield started
    finally:
        for racer in started:
            racer.end()


def _race(root: str, parent: Connection) -> None:
    """The racer's process."""
    lease.BEAT_SECONDS, lease.WATCH_SECONDS = BEAT_SECONDS, WATCH_SECONDS
    store = Store(root)
    store.names("races")  # what takes long the first time
    parent.send({"kind": "ready"})
    while True:
        folder, n_commits, tries = parent.recv()
        try:
            done = _hold(store, folder, n_commits, tries, parent)
            parent.send({"kind": "end", "done": done})
        except Exception as error:  # noqa: BLE001
            parent.send({"kind": "error", "error": repr(error)})


def _hold(store: Store, folder: str, n_commits: int, tries: int, parent: Connection) -> list[str]:
    """Commit with the lease; names of what was committed. At most `tries` times, while another one lives."""
    done: list[str] = []
    for _ in range(tries):
        try:
            before = Journal(store, f"{folder}/lease").head()
            with Lease(store, f"{folder}/lease", "the race") as held:
                visible = store.names(f"{folder}/visible")
                took_over = not before.is_free and before.number == held.tenure - 1
                parent.send(
                    {"kind": "begun", "token": held.fence.token, "visible": visible, "took_over": took_over}
                )
                for _ in range(n_commits):
                    name = held.fence.label()
                    held.fence.commit(Effect(create=((f"{folder}/visible/{name}", ""),)))
                    done.append(name)
                return done
        except TakenOver:
            return done
        except Incomplete:
            continue
    return done


@contextmanager
def one_put_at_a_time() -> Iterator[None]:
    """moto in a process of its own; its address is in the environment."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_moto, args=(theirs,), daemon=True)
    process.start()
    assert ours.poll(LONGEST_SECONDS)
    os.environ.update(
        AWS_ENDPOINT_URL=ours.recv(),
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
    )
    try:
        yield
    finally:
        process.kill()
        process.join()


def _moto(parent: Connection) -> None:
    """moto looks whether an object is there (If-None-Match) and puts it, and another request may come between; S3 has
    no such gap. So one request at a time.
    """
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def alone(environ: Any, start_response: Any) -> list[bytes]:
        # Read before: one who is stopped in the middle of a request must not keep the others out.
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        with lock:
            return [*app(environ, start_response)]

    server = make_server("127.0.0.1", 0, alone, threaded=True)
    parent.send(f"http://127.0.0.1:{server.port}")
    server.serve_forever()


if __name__ == "__main__":
    main()
