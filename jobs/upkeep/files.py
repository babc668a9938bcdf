"""`python -m jobs.files`: the Parquet files of the newest snapshot, for any program that reads Parquet."""

from enum import StrEnum
from typing import Annotated

import typer

from features.spec import fingerprint
from infra import cli
from infra.config import Config, load
from infra.errors import ConfigError
from infra.root import layout
from infra.root.ledger import Tree
from infra.storage.store import Store
from jobs.extract.specification import specification


class What(StrEnum):
    """A table of a corpus."""

    tracks = "tracks"
    features = "features"
    songs = "songs"
    quarantine = "quarantine"


WhatOption = Annotated[What, typer.Option("--what", help="Which table.")]


def files(root: str, what: str = "features", corpus: str = "default", *overrides: str) -> list[str]:
    """Absolute paths or s3:// addresses of a table's files; `overrides` are section.key=value, such as another preset.

    features: the committed shards, a row per song. songs: which of their rows are tracks of the corpus now, and where.
    Raises ConfigError where there is no such table.
    """
    if what not in list(What):
        raise ConfigError(f"{what!r}: expected one of {', '.join(What)}")
    return run(load(None, overrides, root=root, corpus=corpus), What(what))


def run(config: Config, what: What) -> list[str]:
    """The same, of a configuration."""
    store = Store(config.root)
    if what is What.tracks:
        path = layout.tracks(config.corpus)
        if not store.exists(path):
            raise ConfigError(f"{store.uri(path)}: no track list yet, run jobs.index first")
        return [store.uri(path)]
    tree = Tree(store, layout.features(fingerprint(specification(config.extract))))
    snapshot = tree.latest(config.corpus)
    if snapshot is None:
        raise ConfigError(
            f"{store.uri(tree.prefix)}: no features of corpus {config.corpus!r}, run jobs.extract first"
        )
    if what is What.features:
        return [store.uri(shard.path) for shard in snapshot.shards if shard.rows]
    return [store.uri(snapshot.songs if what is What.songs else snapshot.quarantine)]


@cli.command("extract")
def main(config: Config, what: WhatOption = What.features) -> None:
    """Print the files of the newest snapshot, one a line."""
    for path in run(config, what):
        print(path)
