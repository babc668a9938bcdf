"""`python -m jobs.represent`: a vector for every song of the newest snapshot, with a trained model.

Run again after anything: only feature shards whose vectors no commit holds are computed.
"""

import logging
import math
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import ray

from infra.config import Config
from infra.errors import Incomplete
from infra.progress import Progress
from infra.root import layout, models
from infra.root.imported import Located, bring, locate, name_here
from infra.root.journal import Fence
from infra.root.lease import Lease, holding
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot, quarantine_table, songs_table
from infra.root.runs import RunFolder
from infra.root.schemas import LOG_LIKELIHOOD, SHARD
from infra.root.songs import read_songs
from infra.storage.store import Store
from infra.workers.cluster import connect, n_cpus, n_gpus, patience_seconds, wants_gpu
from infra.workers.pool import Pool
from infra.workers.pool_metrics import WorkMetrics
from jobs.represent.kinds import written
from jobs.represent.model import LoadedModel, features_of, load_model
from jobs.represent.plan import Known, Unit, contents, living, missing, plan, unfinished
from jobs.represent.worker import Representer

log = logging.getLogger(__name__)

COMMITS_AT_ONCE = 256  # held as records; then they are rows of a table


@dataclass(frozen=True)
class Represented:
    """The model, its songs, and how many songs this call had to compute."""

    model: str
    songs: int
    computed: int


@dataclass(frozen=True)
class Work:
    """The plan of a run: `songs` of the features (`plan.living`), what is `known` of their vectors, the
    `shards` that hold the others, and the units that some of those are still to be computed by.
    """

    tree: Tree
    model: LoadedModel
    songs: pa.Table
    known: Known
    shards: list[str]
    todo: list[Unit]

    @property
    def n_songs(self) -> int:
        return sum(unit.rows for unit in self.todo)


def run(config: Config, model: str | None = None) -> Represented:
    """Compute the vectors that are missing and publish a snapshot of all.

    model: the name of one of the root, or the address of one of another root, which is copied first
    (infra.root.imported). Raises ConfigError, Incomplete (also while another run with that model is under way),
    StorageError.
    """
    store = Store(config.root)
    found, loaded = _open(config, model)
    what = f"representing with model {loaded.run}"
    with RunFolder(store, layout.run("represent", loaded.run), what) as folder:
        bring(store, found, loaded.run, folder.lease.fence)
        work = _prepare(config, loaded)
        _claim(work)
        folder.begin(config.model_dump(mode="json"))
        work.tree.write_spec(describe(work.model, config.represent.without))
        work.tree.renew(
            {*work.shards}.difference(source.name for unit in work.todo for source in unit.sources)
        )
        started = time.monotonic()
        computed = _compute(config, work, folder.lease) if work.todo else 0
        seconds = time.monotonic() - started
        result = _publish(config, work, computed, folder.lease.fence)
        folder.summary(
            {"model": result.model, "songs": result.songs, "computed": computed, "seconds": seconds}
        )
    return result


def _claim(work: Work) -> None:
    if not models.claim(work.tree.store, work.model.run):
        raise Incomplete(
            f"model {work.model.run} is superseded and jobs.gc has taken it; run again with another model"
        )


def prepare(config: Config, model: str | None = None) -> Work:
    """Read the ledgers of features and vectors, and plan. Raises ConfigError where there is no model or no features."""
    return _prepare(config, _open(config, model)[1])


def _open(config: Config, model: str | None) -> tuple[Located, LoadedModel]:
    """The model, of which there have to be features: where it lies, and itself under its name in the root."""
    store = Store(config.root)
    found = locate(store, model)
    features_of(store, config.corpus, found.final)
    loaded = load_model(found.store, found.final.run)
    return found, replace(loaded, run=name_here(store, found))


def _prepare(config: Config, loaded: LoadedModel) -> Work:
    store = Store(config.root)
    features, tree = features_of(store, config.corpus, loaded), Tree(store, layout.vectors(loaded.run))
    latest = tree.latest(config.corpus)
    gone = tree.taken(latest)
    songs = living(features, read_songs(store, features), gone)
    committed = tree.committed(songs[SHARD].unique().to_pylist())
    known = _known(store, latest).only(committed)
    shards = missing(songs, known)
    todo = unfinished(plan(features, shards, gone), committed)
    return Work(tree, loaded, songs, known.only(committed.difference(shards)), shards, todo)


def _known(store: Store, snapshot: Snapshot | None) -> Known:
    return Known(read_songs(store, snapshot), snapshot.shards) if snapshot else Known.nothing()


def describe(model: LoadedModel, without: Collection[str] = ()) -> dict[str, object]:
    """What the columns of the vectors mean: spec.json of the tree."""
    return {
        "model": model.run,
        "fingerprint": model.fingerprint,
        "features": model.features,
        "n_components": model.n_components,
        **{name: kind.meaning for name, kind in written(without).items()},
        LOG_LIKELIHOOD: "nats per frame, posterior predictive, feature units",
    }


def _compute(config: Config, work: Work, lease: Lease) -> int:
    """Let the workers do what is to do; how many songs they computed."""
    with connect(config.ray):
        return _by_workers(config, work, lease)


def _by_workers(config: Config, work: Work, lease: Lease) -> int:
    patience = patience_seconds(config.ray)
    gpu = wants_gpu(config.represent.device, "represent.device", may_come=patience > 0.0)
    # A node with a GPU may have no CPUs to give, so that nothing else brings it.
    options: Any = {"num_cpus": int(not gpu), "num_gpus": int(gpu), "max_restarts": 0, "max_task_retries": 0}
    actor: Any = ray.remote(**options)(Representer)
    arguments = (
        config.root,
        work.tree.prefix,
        work.model.run,
        config.represent.top,
        "cuda" if gpu else "cpu",
        config.represent.without,
    )
    pool: Pool[Unit] = Pool(
        make=lambda _: actor.remote(*arguments),
        call=lambda worker, unit: worker.represent.options(num_returns="streaming").remote(unit),
        size=config.represent.workers or (max(1, n_gpus()) if gpu else n_cpus()),
        start_seconds=patience or math.inf,
    )
    computed: dict[Unit, int] = {}
    metrics = WorkMetrics("represent", work.model.run, pool)
    with closing(pool.run(work.todo)) as done, Progress(work.n_songs, "songs", "represent") as progress:
        for unit, songs in holding(lease, done):
            computed[unit] = songs
            progress.advance(sum(computed.values()) - progress.done)
            metrics.tell(songs_total=progress.done)
    return progress.done


def _publish(config: Config, work: Work, computed: int, fence: Fence) -> Represented:
    tables, shards = [], [*work.known.shards]
    for commits in _commits(work):
        tables.append(songs_table(commits))
        shards += [commit.reference() for commit in commits]
    songs = contents(work.songs, work.known, tables)
    if lost := work.songs.num_rows - songs.num_rows:
        raise Incomplete(f"{lost} songs have no vector; run python -m jobs.audit")
    used = {*songs[SHARD].unique().to_pylist()}
    listed = [shard for shard in shards if shard.shard in used]
    _claim(work)
    work.tree.publish(config.corpus, listed, songs, quarantine_table([]), fence=fence)
    text = f"{computed} computed" if computed else "nothing to do"
    log.info("represent: %d songs have vectors of model %s, %s", songs.num_rows, work.model.run, text)
    return Represented(work.model.run, songs.num_rows, computed)


def _commits(work: Work) -> Iterator[list[Commit]]:
    """The commits of the shards that were not known, some at a time: as records they take much memory."""
    for first in range(0, len(work.shards), COMMITS_AT_ONCE):
        names = work.shards[first : first + COMMITS_AT_ONCE]
        commits = work.tree.read_commits(names)
        if absent := len(names) - len(commits):
            raise Incomplete(f"{absent} of {len(names)} shards are missing; run again")
        yield list(commits.values())


def plan_text(config: Config, model: str | None = None) -> str:
    """What --dry-run prints."""
    work = prepare(config, model)
    total, name = work.songs.num_rows, work.model.run
    return f"represent: {work.n_songs} of {total} songs are to be computed with model {name}"
