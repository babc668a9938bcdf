"""`python -m jobs.audit`: does the root hold what its records say, and is every track accounted for?

Every file that a commit or a checkpoint names is read and hashed. Nothing is changed.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from infra import cli
from infra.config import Config
from infra.errors import ConfigError, Incomplete, StorageError
from infra.progress import Progress
from infra.root import layout, models
from infra.root.ledger import Tree, trees
from infra.root.records import Commit, Placed, ShardFile
from infra.root.schemas import MESSAGE, REASON, SHARD, TRACK_ID, VERSION
from infra.root.songs import read_quarantine, read_songs
from infra.root.taken import taken
from infra.storage.store import Store
from jobs.extract.plan import reasons
from jobs.extract.work import read_tracks
from jobs.represent.plan import living

PARALLEL_DIGESTS = 4
LISTED_FILES = 50
log = logging.getLogger(__name__)

Digests = dict[str, str]  # path relative to the root -> SHA-256 that its record says


@dataclass(frozen=True)
class Account:
    """The books of one tree: what its commits say, the files they name, and what does not add up."""

    tree: str
    commits: int
    inputs: int
    rows: int
    quarantined: int
    files: Digests
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Coverage:
    """A corpus and the newest snapshot of the configured features."""

    corpus: str
    tracks: int
    songs: int
    quarantine: pa.Table | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class AuditResult:
    """All accounts; `problems` is empty if everything adds up."""

    accounts: tuple[Account, ...]
    coverage: tuple[Coverage, ...]
    checkpoints: int
    problems: tuple[str, ...] = field(default=())


def run(config: Config) -> AuditResult:
    """Check everything under the root. Raises ConfigError if there is nothing, StorageError if it cannot be read."""
    store = Store(config.root)
    corpora = store.names(layout.CORPORA)
    if not corpora:
        raise ConfigError(f"root {store.root}: holds no corpus")
    gone = taken(store, models.PLACE)  # gc's: they and what was made with them count no more
    features, vectors = (
        [tree for tree in trees(store, kind) if layout.name_of(tree.prefix) not in gone]
        for kind in layout.TREES
    )
    accounts = tuple(map(account, [*features, *vectors]))
    coverage = tuple(cover(store, name, features) for name in corpora)
    unrepresented = [problem for name in corpora for problem in uncovered(store, name, vectors)]
    checkpoints, unreadable = checkpoint_digests(
        store, [name for name in store.names(layout.MODELS) if name not in gone]
    )
    files = {path: digest for item in accounts for path, digest in item.files.items()} | checkpoints
    problems = [problem for item in (*accounts, *coverage) for problem in item.problems]
    problems += [*unrepresented, *unreadable, *damaged(store, files)]
    return AuditResult(accounts, coverage, len(checkpoints), tuple(problems))


def account(tree: Tree) -> Account:
    """Read the commits and the snapshots of a tree and compare them with each other."""
    corpora = tree.corpora()
    names = tree.shards()
    problems: list[str] = []
    try:
        # What gc has taken counts for nobody, be it deleted yet or not.
        gone = tree.taken(*map(tree.latest, corpora))
        names = [name for name in names if name not in gone]
        commits = tree.read_commits(names)
        for corpus in corpora:
            problems += check_snapshot(tree, corpus, commits)
    except StorageError as error:
        return Account(tree.prefix, len(names), 0, 0, 0, {}, (str(error),))
    problems += [
        f"{tree.prefix}: shard {commit.shard}: {commit.rows} rows + {len(commit.quarantined)} quarantined "
        f"are not its {commit.inputs} inputs"
        for commit in commits.values()
        if commit.rows + len(commit.quarantined) != commit.inputs or len(commit.tracks) != commit.rows
    ]
    return Account(
        tree=tree.prefix,
        commits=len(commits),
        inputs=sum(commit.inputs for commit in commits.values()),
        rows=sum(commit.rows for commit in commits.values()),
        quarantined=sum(len(commit.quarantined) for commit in commits.values()),
        files={commit.path: commit.digest for commit in commits.values()},
        problems=tuple(problems),
    )


def check_snapshot(tree: Tree, corpus: str, commits: Mapping[str, Commit]) -> list[str]:
    """What is wrong with the newest snapshot of a corpus: unknown shards, songs that no commit placed."""
    snapshot = tree.latest(corpus)
    if snapshot is None:
        return []
    where = f"{tree.prefix}: snapshot {snapshot.number} of {corpus}"
    lost = [item.shard for item in snapshot.shards if not _agrees(item, commits.get(item.shard))]
    problems = [f"{where}: shard {shard} has no such commit" for shard in lost]
    listed = {item.shard for item in snapshot.shards}
    placed = {(shard, *track) for shard in listed & commits.keys() for track in commits[shard].tracks}
    try:
        songs = read_songs(tree.store, snapshot)
        read_quarantine(tree.store, snapshot)
    except StorageError as error:
        return [*problems, f"{where}: a table is missing or damaged ({error})"]
    columns = (songs[name].to_pylist() for name in (SHARD, *Placed._fields))
    strangers = sum(row not in placed for row in zip(*columns, strict=True))
    if strangers:
        problems.append(f"{where}: {strangers} songs are not where their commits say")
    return problems


def cover(store: Store, corpus: str, trees: Iterable[Tree]) -> Coverage:
    """Is every track of the list a song or quarantined, once, in the newest snapshot that knows the corpus?"""
    tracks = read_tracks(store, corpus)
    wanted = _versions(tracks)
    books = [found for tree in trees if (found := _coverage(tree, corpus, wanted))]
    if not books:
        text = f"corpus {corpus}: {len(wanted)} tracks, no snapshot of features knows them"
        return Coverage(corpus, len(wanted), 0, None, (text,))
    # An older specification's tree may lag behind, one that covers everything is enough.
    return min(books, key=lambda found: len(found.problems))


def _coverage(tree: Tree, corpus: str, wanted: Sequence[tuple[str, str]]) -> Coverage | None:
    try:
        snapshot = tree.latest(corpus)
        if snapshot is None:
            return None
        songs, quarantine = read_songs(tree.store, snapshot), read_quarantine(tree.store, snapshot)
    except (StorageError, FileNotFoundError):
        return None  # `check_snapshot` says so
    known = _versions(songs) + _versions(quarantine)
    problems = []
    if missing := len(set(wanted) - set(known)):
        problems.append(
            f"corpus {corpus}: {missing} of {len(wanted)} tracks are neither songs nor quarantined"
        )
    if twice := len(known) - len(set(known)):
        problems.append(f"{tree.prefix}: {twice} tracks of {corpus} are listed twice")
    return Coverage(corpus, len(wanted), songs.num_rows, quarantine, tuple(problems))


def uncovered(store: Store, corpus: str, trees: Iterable[Tree]) -> list[str]:
    """Songs of the newest features without a vector of that very file, or with two.

    Models of before may lag behind; one whose vectors cover everything is enough, and none need exist.
    """
    books = [found for tree in trees if (found := _unrepresented(store, tree, corpus)) is not None]
    return min(books, key=len, default=[])


def _unrepresented(store: Store, tree: Tree, corpus: str) -> list[str] | None:
    try:
        snapshot = tree.latest(corpus)
        if snapshot is None:
            return None
        features = Tree(store, layout.features(tree.read_spec()["fingerprint"])).latest(corpus)
        if features is None:
            return [f"{tree.prefix}: the features of {corpus} behind its vectors are gone"]
        wanted = _places(living(features, read_songs(store, features), tree.taken(snapshot)))
        known = _places(read_songs(store, snapshot))
    except (StorageError, FileNotFoundError):
        return None  # `check_snapshot` says so
    except (ValueError, KeyError):
        return [f"{layout.spec(tree.prefix)}: cannot be understood"]
    problems = []
    if missing := len(set(wanted) - set(known)):
        problems.append(
            f"{tree.prefix}: {missing} of {len(wanted)} songs of {corpus} have no vector of their features"
        )
    if twice := len(known) - len(set(known)):
        problems.append(f"{tree.prefix}: {twice} songs of {corpus} have two vectors")
    return problems


def checkpoint_digests(store: Store, names: Iterable[str]) -> tuple[Digests, list[str]]:
    """The files that the checkpoint indices of these models name, and the index entries that cannot be read."""
    digests: Digests = {}
    problems: list[str] = []
    for model in names:
        entries = layout.checkpoint_entries(layout.model(model))
        for name in store.names(entries):
            path = layout.listed(entries, name)
            try:
                files = json.loads(store.read(path))["files"]
                digests |= {
                    layout.listed(layout.model(model), file): digest for file, digest in files.items()
                }
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError):
                problems.append(f"{path}: not a checkpoint index entry")
    return digests, problems


def damaged(store: Store, files: Digests) -> list[str]:
    """Hash every file and say which are absent or differ."""
    with ThreadPoolExecutor(PARALLEL_DIGESTS) as pool, Progress(len(files), "files", "audit") as progress:
        problems = []
        for problem in pool.map(lambda item: _examine(store, *item), files.items()):
            problems += [problem] if problem else []
            progress.advance()
    return problems


def _examine(store: Store, path: str, digest: str) -> str | None:
    try:
        found = store.digest(path)
    except FileNotFoundError:
        return f"{path}: is missing"
    return None if found == digest else f"{path}: its content has another digest than its record says"


def _agrees(reference: ShardFile, commit: Commit | None) -> bool:
    return commit is not None and commit.reference() == reference


def _versions(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table[TRACK_ID].to_pylist(), table[VERSION].to_pylist(), strict=True))


def _places(songs: pa.Table) -> list[tuple[str, str, str]]:
    """Track, version and vectors' shard, which has the digest of the features in its name."""
    return list(zip(*(songs[name].to_pylist() for name in (TRACK_ID, VERSION, SHARD)), strict=True))


def print_result(result: AuditResult, console: Console) -> None:
    """Tables for a person."""
    console.print(_accounts_table(result.accounts))
    for item in result.coverage:
        n_quarantined = item.quarantine.num_rows if item.quarantine is not None else 0
        console.print(
            f"corpus {item.corpus}: {item.tracks} tracks = {item.songs} songs + {n_quarantined} quarantined"
        )
        for line in quarantine_lines(item.quarantine):
            console.print(f"  {line}")
    console.print(f"checkpoint files: {result.checkpoints}")
    for problem in result.problems:
        console.print(f"PROBLEM {problem}")


def quarantine_lines(quarantine: pa.Table | None) -> Iterator[str]:
    """The quarantined files by reason, the most frequent first; a long list is cut, and says so."""
    if quarantine is None:
        return
    for reason, count in reasons(quarantine).most_common():
        yield f"{reason}: {count}"
        rows = [row for row in quarantine.to_pylist() if row[REASON] == reason]
        for row in rows[:LISTED_FILES]:
            yield f"  {row[TRACK_ID]}: {row[MESSAGE].removeprefix(row[TRACK_ID] + ': ')}"
        if count > LISTED_FILES:
            yield f"  and {count - LISTED_FILES} more"


def _accounts_table(accounts: Sequence[Account]) -> Table:
    table = Table("tree", *("commits", "inputs", "rows", "quarantined", "problems"), title="audit")
    for item in accounts:
        figures = (item.commits, item.inputs, item.rows, item.quarantined, len(item.problems))
        table.add_row(item.tree, *map(str, figures))
    return table


@cli.command(takes=("root",))
def main(config: Config) -> None:
    """Check digests, commits, snapshots and coverage of everything under a root; exit code 4 if anything is off."""
    result = run(config)
    print_result(result, Console(highlight=False, markup=False, soft_wrap=True))
    if result.problems:
        raise Incomplete(f"{len(result.problems)} problems, the first: {result.problems[0]}")
