"""Ranks in processes of their own, over gloo on the loopback: one state everywhere, that of a single process."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn

from hdpgmm import distributed, training_step
from hdpgmm.data.whitening import Whitening
from hdpgmm.model import State
from hdpgmm.ragged import Ragged
from hdpgmm.serialization import from_arrays, to_arrays
from hdpgmm.training_step import Settings
from tests.hdpgmm.corpora import Corpus, mixture

SETTINGS = Settings(n_components=6, n_atoms=5, splash=0.1)
CORPUS_SONGS = 500
# Songs of each step's mini-batch by rank: parts of one size, of very different sizes, a rank without any.
PARTS = {
    2: [([0, 1, 2, 3], [4, 5, 6, 7]), ([8], [9, 10, 11, 12, 13, 14, 15]), ([], [16, 17, 18])],
    3: [([0, 1], [2, 3], [4, 5]), ([6, 7, 8, 9, 10], [11], [12, 13]), ([14, 15], [], [16])],
}


def _corpus() -> Corpus:
    """In float64: the songs that share a group, and so the order of sums, depend on the ranks."""
    return mixture(seed=1, n_songs=19, n_comp=4, dim=3, frames=(1, 30), spread=1.5)


def _start() -> State:
    corpus = _corpus()
    generator = torch.Generator().manual_seed(0)
    return training_step.start(SETTINGS, corpus.values, len(corpus.values), CORPUS_SONGS, generator)


def _some(corpus: Corpus, songs: Sequence[int]) -> Ragged[torch.Tensor]:
    return corpus.songs.take(torch.tensor(songs, dtype=torch.int64))


def _train(rank: int, world: int, folder: str) -> None:
    """One rank: three steps on its own songs; it leaves its state and what it saw of every batch."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous-{world}", rank=rank, world_size=world
    )
    corpus, state, infos = _corpus(), _start(), []
    for parts in PARTS[world]:
        own = _some(corpus, parts[rank])
        state, info = training_step.learn(state, own, CORPUS_SONGS, SETTINGS, distributed.fast)
        infos.append(info)
    torch.save((to_arrays(state, _no_whitening()), infos), Path(folder) / f"{rank}-of-{world}.pt")
    shared = _in_parts(rank, world, distributed.deterministic)
    torch.save(to_arrays(shared, _no_whitening()), Path(folder) / f"parts-{rank}-of-{world}.pt")
    flags = [distributed.anywhere(rank == one) for one in (world - 1, world)]
    torch.save(flags, Path(folder) / f"flags-{rank}-of-{world}.pt")
    torch.distributed.destroy_process_group()


def _in_parts(rank: int, world: int, total: training_step.Total) -> State:
    """Three steps in float32 on mini-batches of ten songs and one of two, each rank with its parts of two songs."""
    training_step.PART_SONGS = 2
    whole, state = _corpus(), _start()
    corpus = Corpus(whole.songs_as(torch.float32), whole.labels)
    for batch in ([*range(10)], [17, 18], [*range(9, 19)]):
        parts = [batch[start : start + 2] for start in range(0, len(batch), 2)]
        own = [song for part in parts[rank::world] for song in part]
        state, _ = training_step.learn(state, _some(corpus, own), CORPUS_SONGS, SETTINGS, total)
    return state


def _process(rank: int, folder: str) -> None:
    """One of three processes: all three train together, then the first two. Starting them is what takes time."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    for world in (3, 2):
        if rank < world:
            _train(rank, world, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ranks left what they found."""
    path = tmp_path_factory.mktemp("ranks")
    spawn(_process, (str(path),), nprocs=3)
    return path


def _no_whitening() -> Whitening:
    eye = torch.eye(3, dtype=torch.float64).numpy()
    return Whitening(eye[0] * 0.0, eye)


@pytest.mark.parametrize("world", [2, 3])
def test_all_ranks_have_the_state_of_one_process(world: int, folder: Path):
    found = [torch.load(folder / f"{rank}-of-{world}.pt", weights_only=False) for rank in range(world)]
    for arrays, infos in found[1:]:
        assert {name: part.tobytes() for name, part in arrays.items()} == {
            name: part.tobytes() for name, part in found[0][0].items()
        }
        assert infos == found[0][1]

    corpus, state = _corpus(), _start()
    for parts, seen in zip(PARTS[world], found[0][1], strict=True):
        batch = corpus.take([song for part in parts for song in part])
        state, info = training_step.learn(state, batch.songs, CORPUS_SONGS, SETTINGS)
        assert (seen.songs, seen.frames, seen.refreshes) == (info.songs, info.frames, info.refreshes)
        assert seen.bound == pytest.approx(info.bound, rel=1e-12)
    together, _ = from_arrays(found[0][0])
    for one, two in zip(together.stats.tensors(), state.stats.tensors(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
    assert together.gamma == pytest.approx(state.gamma, rel=1e-12)
    assert together.alpha0 == pytest.approx(state.alpha0, rel=1e-12)
    assert together.step == state.step == 3


def test_deterministic_sums_are_bit_for_bit_those_of_one_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(training_step, "PART_SONGS", 2)
    alone = to_arrays(_in_parts(0, 1, training_step.in_order), _no_whitening())
    for world in (2, 3):
        for rank in range(world):
            found = torch.load(folder / f"parts-{rank}-of-{world}.pt", weights_only=False)
            assert {name: part.tobytes() for name, part in found.items()} == {
                name: part.tobytes() for name, part in alone.items()
            }


@pytest.mark.parametrize("world", [2, 3])
def test_a_flag_of_one_rank_is_known_to_all(world: int, folder: Path):
    """First of the last one, then of none."""
    for rank in range(world):
        assert torch.load(folder / f"flags-{rank}-of-{world}.pt") == [True, False]
