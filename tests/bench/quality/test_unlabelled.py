"""The bench of unlabelled music joins corpora whole, and pairs what it compares."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.comparison.cells import Cell
from infra.root.ledger import Tree
from infra.root.records import quarantine_table, songs_table
from infra.root.songs import read_songs
from infra.storage.store import Store
from tests.bench.quality import unlabelled
from tests.jobs.trees import commit_shard


def test_a_joined_corpus_has_the_songs_and_shards_of_both(tmp_path: Path):
    tree = Tree(Store(str(tmp_path)), "features/f")
    frames = np.zeros((4, 3), np.float32)
    for corpus, names in (("a", "xz"), ("b", "yw"), ("c", "xv")):
        commit = commit_shard(tree, f"shard-{corpus}", dict.fromkeys(names, frames))
        songs = songs_table([commit]).sort_by("track_id")
        tree.publish(corpus, [commit.reference()], songs, quarantine_table([]))
    made = unlabelled.join(tree, ("a", "b"), "both")
    assert read_songs(tree.store, made)["track_id"].to_pylist() == [*"wxyz"]
    assert [shard.shard for shard in made.shards] == ["shard-a", "shard-b"]
    assert made.n_frames == 16
    with pytest.raises(SystemExit, match="same name"):
        unlabelled.join(tree, ("a", "c"), "both")


def test_changes_are_paired_over_the_resamples():
    """What all vectors have in common, which songs are drawn, drops out."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=500)
    cell = Cell("ours", "genre", "macro_f1", 0, 9, 3, "", (0.0,), (), ours=True)
    cells = {
        name: [
            replace(cell, values=(value + seed,), draws=tuple((common + value + seed).tolist()))
            for seed in (0.0, 0.2)
        ]
        for name, value in (("labelled", 0.3), ("unlabelled", 0.2), ("both", 0.5))
    }
    found = {(new, old): row for new, old, row in unlabelled.changes(cells)}
    expected = {("unlabelled", "labelled"): -0.1, ("both", "labelled"): 0.2, ("both", "unlabelled"): 0.3}
    assert found.keys() == expected.keys()
    for pair, change in expected.items():
        assert (found[pair].mean, found[pair].low, found[pair].high) == pytest.approx((change,) * 3)
    assert [(name, row.mean) for name, row in unlabelled.rows_of(cells)] == [
        ("labelled", pytest.approx(0.4)),
        ("unlabelled", pytest.approx(0.3)),
        ("both", pytest.approx(0.6)),
    ]
