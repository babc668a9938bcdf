"""The GPU's kernels find what the CPU's local step finds. Without a GPU, Triton's interpreter runs them (conftest)."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from hdpgmm import model, represent
from hdpgmm.local_step import direct_assignment as direct
from hdpgmm.local_step.posterior import LocalOptions, supported
from hdpgmm.model import inference, statistics
from hdpgmm.ragged import Ragged, packed
from tests.bench import engine

triton: Any = pytest.importorskip("triton")
tl: Any = pytest.importorskip("triton.language")
fused: Any = importlib.import_module("hdpgmm.local_step.fused")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LENGTHS = [37, 160, 5, 301, 1, 128]


@triton.jit
def applied(x, out, FUNCTION: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out + at, FUNCTION(tl.load(x + at)))


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernels run whatever the device, in small chunks; the interpreter knows one thread."""
    for place in (inference, statistics):
        monkeypatch.setattr(place, "on_gpu", lambda model, device: model.direct)
    monkeypatch.setitem(model.GROUP_FRAMES, "cuda", 700)
    monkeypatch.setattr(statistics, "SLICE", 64)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def some_songs(n_comp: int, dtype: torch.dtype, gap: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log_lik (comp, frame) of songs that prefer some components, `gap` frames of rubbish between them."""
    generator = torch.Generator().manual_seed(n_comp)
    starts = torch.tensor([0, *(n + gap for n in LENGTHS[:-1])]).cumsum(0)
    n_frames = sum(LENGTHS) + gap * len(LENGTHS)
    log_lik = 5.0 * torch.randn(n_comp, n_frames, generator=generator, dtype=torch.float64) - 20.0
    for start, length in zip(starts.tolist(), LENGTHS, strict=True):
        liked = 8.0 * torch.randn(n_comp, 1, generator=generator, dtype=torch.float64)
        log_lik[:, start : start + length] += liked
    log_beta = torch.log_softmax(2.0 * torch.randn(n_comp, generator=generator, dtype=torch.float64), 0)
    return log_lik.to(DEVICE, dtype), starts, torch.tensor(LENGTHS), log_beta.to(DEVICE, dtype)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("n_comp", "n_atoms"), [(40, 12), (33, 32), (8, 32), (1, 4)])
def test_a_song_is_inferred_as_on_the_cpu(dtype: torch.dtype, near: float, n_comp: int, n_atoms: int) -> None:
    log_lik, starts, lengths, log_beta = some_songs(n_comp, dtype)
    options, songs = LocalOptions(n_atoms=n_atoms), fused.Songs(starts.to(DEVICE), lengths.to(DEVICE))
    shares, comps = fused.supported(log_lik, songs, log_beta, direct.n_named(options, n_comp))
    zeta = torch.zeros_like(log_lik)
    places = comps * log_lik.stride(0) + songs.start[:, None]
    found = fused.ascend(log_lik, songs, comps, shares, log_beta, 1.7, options, zeta, places)
    for i, (start, length) in enumerate(zip(starts.tolist(), LENGTHS, strict=True)):
        one = log_lik[:, start : start + length].T.cpu()[None]
        mask = torch.ones(1, length, dtype=dtype)
        their_shares, their_comps = supported(one, mask, log_beta.cpu(), shares.shape[1])
        wanted = direct.infer_songs(one, mask, log_beta.cpu(), 1.7, options)
        torch.testing.assert_close(shares[i].cpu(), their_shares[0], rtol=near, atol=100 * near)
        assert comps[i].tolist() == their_comps[0].tolist()
        responsibilities = wanted.responsibilities()[0].T
        torch.testing.assert_close(
            zeta[:, start : start + length].cpu(), responsibilities, rtol=0, atol=100 * near
        )
        assert float(found.bound[i]) == pytest.approx(float(wanted.bound[0]), rel=near)
        assert int(found.rounds[i]) == int(wanted.refreshes[0])
        assert int((found.counts[i] > 0.0).sum()) == int((wanted.counts[0] > 0.0).sum())


def test_between_the_songs_nothing_is_written() -> None:
    log_lik, starts, lengths, log_beta = some_songs(20, torch.float32)
    songs, options = fused.Songs(starts.to(DEVICE), lengths.to(DEVICE)), LocalOptions(n_atoms=8)
    shares, comps = fused.supported(log_lik, songs, log_beta, 8)
    zeta = torch.full_like(log_lik, -7.0)
    places = comps * log_lik.stride(0) + songs.start[:, None]
    fused.ascend(log_lik, songs, comps, shares, log_beta, 1.0, options, zeta, places)
    inside = torch.zeros(log_lik.shape[1], dtype=torch.bool)
    for start, length in zip(starts.tolist(), LENGTHS, strict=True):
        inside[start : start + length] = True
    assert bool((zeta[:, ~inside] == -7.0).all())
    written = zeta[:, inside].clamp(min=0.0).sum(0)
    torch.testing.assert_close(written, torch.ones_like(written))


def test_frames_far_from_every_component_and_a_certain_one() -> None:
    """Log-likelihoods 1e4 nats apart: nothing overflows, and an atom without frames is not in use."""
    log_lik = torch.full((5, 40), -3e4)
    log_lik[0, :39], log_lik[1, 39] = -10.0, -2e4
    log_lik, songs = log_lik.to(DEVICE), fused.Songs(*(torch.tensor([n], device=DEVICE) for n in (0, 40)))
    log_beta = torch.full((5,), -1.6, device=DEVICE)
    shares, comps = fused.supported(log_lik, songs, log_beta, 5)
    zeta = torch.zeros_like(log_lik)
    found = fused.ascend(log_lik, songs, comps, shares, log_beta, 1.0, LocalOptions(), zeta, 40 * comps)
    assert found.counts[0, :2].tolist() == pytest.approx([39.0, 1.0])
    assert found.counts[0, 2:].tolist() == [0.0, 0.0, 0.0]
    assert bool(zeta.isfinite().all())
    assert bool(found.bound.isfinite().all())


@pytest.mark.parametrize("name", ["digamma", "lgamma"])
def test_special_functions(name: str) -> None:
    x = torch.logspace(-300, 9, 1024, dtype=torch.float64)
    found = torch.empty_like(x, device=DEVICE)
    applied[(1,)](x.to(DEVICE), found, FUNCTION=getattr(fused, f"_{name}"), N=1024)
    torch.testing.assert_close(found.cpu(), getattr(torch, name)(x), rtol=1e-12, atol=1e-12)


def test_a_step_and_vectors_are_those_of_the_cpu(everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ragged songs in chunks, one of them empty: statistics, what is logged and vectors."""
    monkeypatch.setattr(engine, "_FRAMES", (50, 300))
    size, options = engine.Size(7, 24, 8, 6, 0), LocalOptions(n_atoms=8)
    corpus = engine.synthetic(size, torch.device("cpu"))
    with monkeypatch.context() as patch:
        for place in (inference, statistics):
            patch.setattr(place, "on_gpu", lambda model, device: False)
        state = engine.first_state(corpus, size, options)
        ready = model.prepare(state)
        songs = packed([*corpus[:2], corpus.values[:0], *corpus[2:]])
        wanted, logged = model.batch_statistics(ready, songs, options)
        vectors = represent.represent(ready, songs, options)
    ready = model.prepare(state.to(DEVICE))
    songs = Ragged(songs.values.to(DEVICE), songs.offsets)
    found, info = model.batch_statistics(ready, songs, options)
    assert (info.songs, info.frames, info.refreshes) == (logged.songs, logged.frames, logged.refreshes)
    assert info.bound == pytest.approx(logged.bound, rel=1e-6)
    for part, other in zip(found.tensors(), wanted.tensors(), strict=True):
        torch.testing.assert_close(part.cpu(), other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))
    for part, other in zip(
        represent.represent(ready, songs, options).tensors(), vectors.tensors(), strict=True
    ):
        torch.testing.assert_close(part.cpu(), other, rtol=0, atol=1e-5, equal_nan=True)
