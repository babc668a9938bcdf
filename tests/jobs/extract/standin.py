"""Corpora whose tracks say what the stand-in worker shall do with them, and extraction without Ray."""

import sys
from collections.abc import Sequence

from infra.config import Config, load
from infra.root.ledger import Tree
from infra.root.records import Commit, Snapshot
from infra.storage.store import Store
from jobs.extract.plan import contents
from jobs.extract.specification import specification
from jobs.extract.work import prepare
from jobs.extract.worker import Extractor
from jobs.index import job as index
from tests.places import TESTS

COMMAND = [sys.executable, str(TESTS / "standin_worker.py")]


def config_of(root: str, music: str, *more: str) -> Config:
    return load(None, ("extract.shard_tracks=4", "extract.track_seconds=30", *more), root=root, music=music)


def write_corpus(music: str, tracks: dict[str, str]) -> str:
    """Files with these contents, at a folder or s3:// prefix."""
    store = Store(music)
    for name, content in tracks.items():
        store.write(name, content.encode())
    return music


def extract_inline(config: Config, store: Store | None = None, command: Sequence[str] = COMMAND) -> Snapshot:
    """What `jobs.extract` does, in this process; `store` replaces the one that everything is written to."""
    index.run(config)
    work, spec = prepare(config), specification(config.extract)
    tree = Tree(store or Store(config.root), work.tree.prefix)
    tree.write_spec(spec.to_json())
    extractor = Extractor(
        config.root,
        tree.prefix,
        spec,
        command,
        0,
        config.extract.track_seconds,
        config.extract.row_group_bytes,
    )
    extractor.tree = tree
    commits = dict(work.commits)
    with extractor.child:
        for shard in work.todo:
            *_, commit = extractor.extract_shard(shard)
            assert isinstance(commit, Commit)
            commits[shard.name] = commit
    result = contents(work.tracks, work.covered, commits.values())
    return tree.publish(config.corpus, result.shards, result.songs, result.quarantine)
