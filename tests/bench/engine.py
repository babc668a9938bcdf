"""`python -m tests.bench.engine`: the engine's training step against the plain implementation, as one JSON line.

One step is batch_statistics, blend and prepare, with a synthetic corpus as the mini-batch (`--scaling`: a table over
songs, components and dimensions instead). The plain implementation (`tests.bench.plain`) takes the same step on some
of the songs, with as many local iterations as it needs to reach the engine's bound on them, at most 160: where
`plain_reached` is false the ratio is one that it would still exceed, and `ratio_to_plain_settled` is that at the
iteration where its bound has converged (the engine's is that of its default form, direct assignment; the plain one's
is that of sticks). Products inside the step are seen by torch's profiler in a run of their own, and are a share of
the time of a run without it. Needs torch and numpy alone; rich draws the tables
where it is installed.
"""

import argparse
import ctypes
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._profiler import _ExperimentalConfig
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from hdpgmm import model
from hdpgmm.components.prior import whitened_prior
from hdpgmm.data import kmeans as initialise
from hdpgmm.local_step.groups import groups
from hdpgmm.local_step.posterior import LocalOptions
from hdpgmm.model import BatchInfo, Globals, State
from hdpgmm.ragged import Ragged, ragged
from tests.bench import plain

_FRAMES = (800, 1300)  # of the shortest and the longest song: 19 to 30 s at 43 frames a second
_SONG_CONCENTRATION = 4.0  # about 20 components in a song of 1,000 frames, a handful of them large
_SPREAD = (
    3.2  # root mean squared distance of the components' means from the centre, in a component's deviations
)
_WARM_SONGS = 256
_PROFILED_SONGS = 256
_ERROR_SONGS = 16
_MAX_ITERATIONS = 160
_TOLERANCE = 1e-3  # nats a frame below the engine's bound that still count as the same bound
_UNUSED = 1e-3  # frames; an atom of fewer pays nothing in the plain implementation's bound
_REPEATS = 3
_LONG = 20.0  # seconds after which nothing is repeated
_LARGE = ((2048, 2048, 2048), (4096, 1431, 256), (256, 4096, 1431), (8192, 8192, 8192))
_PRODUCTS = {  # operation: where its two factors are among the arguments
    "aten::mm": (0, 1),
    "aten::bmm": (0, 1),
    "aten::addmm": (1, 2),
    "aten::addmm_": (1, 2),
    "aten::baddbmm": (1, 2),
    "aten::baddbmm_": (1, 2),
}


@dataclass(frozen=True)
class Size:
    """What one measurement runs on."""

    songs: int
    components: int
    atoms: int
    dim: int
    seed: int


Corpus = Ragged[Tensor]  # songs (frame, dim) float32, whitened


@dataclass(frozen=True)
class Step:
    """A measured step of the engine; statistics_seconds is batch_statistics alone."""

    seconds: float
    statistics_seconds: float
    info: BatchInfo


@dataclass(frozen=True)
class Products:
    """Matrix products inside batch_statistics: share of the threads' time, and rate when all threads are in one."""

    share: float
    gflops: float


@dataclass(frozen=True)
class PlainSeconds:
    """The plain implementation on a batch of `frames` frames: likelihood, one local iteration, statistics, corpus."""

    frames: int
    likelihood: float
    iteration: float
    statistics: float
    corpus: float

    def speed(self, iterations: int, frames: int) -> float:
        """On a batch of another size: the corpus update is paid once, the rest by the frame."""
        per_frame = (self.likelihood + iterations * self.iteration + self.statistics) / self.frames
        return frames / (per_frame * frames + self.corpus)


@dataclass(frozen=True)
class PlainRun:
    """Local iterations of the plain implementation, the bound after them, and whether it is the engine's.

    settled: the iteration at which the bound first moved less than the engine's own tolerance.
    """

    iterations: int
    settled: int
    bound: float
    reached: bool


def main() -> None:
    """Measure and print."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    if args.scaling:
        scaling(torch.device(args.device), args.seed)
        return
    size = Size(args.songs, args.components, args.atoms, args.dim, args.seed)
    result = measure(size, args.plain_songs, torch.device(args.device))
    print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine")
    for name, default in (("songs", 1024), ("components", 256), ("atoms", 32), ("dim", 52), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--plain-songs", type=int, help="default: all songs")
    parser.add_argument(
        "--small", action="store_true", help="48 songs, 32 components, 8 atoms, 13 dimensions"
    )
    parser.add_argument("--scaling", action="store_true", help="songs, components and dimensions in turn")
    args = parser.parse_args()
    if args.small:
        args.songs, args.components, args.atoms, args.dim = 48, 32, 8, 13
    if args.plain_songs is None:
        args.plain_songs = args.songs
    return args


def measure(size: Size, plain_songs: int, device: torch.device) -> dict[str, object]:
    """All figures of one size."""
    corpus, options = synthetic(size, device), LocalOptions(n_atoms=size.atoms)
    n_frames = len(corpus.values)
    state = first_state(corpus, size, options)
    globals_ = model.prepare(state)
    with _peak_mb(device) as peak:
        step = engine_step(corpus, state, options)
    step = min(
        [step] + [engine_step(corpus, state, options) for _ in range(_REPEATS - 1)], key=lambda s: s.seconds
    )
    products = profiled(corpus[:_PROFILED_SONGS], globals_, options)
    machine = machine_gflops(device)
    largest, rms = likelihood_errors(corpus[:_ERROR_SONGS], state, options)
    speed = n_frames / step.seconds
    result: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "songs": size.songs,
        "frames": n_frames,
        "components": globals_.theta.shape[1],
        "frames_per_second": speed,
        "step_seconds": step.seconds,
        "refreshes_per_song": step.info.refreshes / size.songs,
        "peak_mb": peak[0],
        "gemm_share": products.share * step.statistics_seconds / step.seconds,
        "gemm_rate_share": products.gflops / machine,
        "machine_gflops": machine,
        "max_error_nats": largest,
        "rms_error_nats": rms,
    }
    result |= against_plain(corpus[:plain_songs], state, options, speed, n_frames)
    result = {
        key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in result.items()
    }
    _table("one training step", ["figure", "value"], [[key, str(value)] for key, value in result.items()])
    return result


def synthetic(size: Size, device: torch.device) -> Corpus:
    """Songs of an HDP mixture: Zipf-like corpus weights beta, song weights Dirichlet(concentration beta), whitened.

    Components differ in mean and in covariance (deviations of 0.7 to 1.4 along axes turned at random) and overlap:
    of 256 in 52 dimensions the likeliest has probability 0.79 on average, with the true parameters and beta.
    """
    rng = np.random.default_rng(size.seed)
    beta = 1.0 / (np.arange(size.components) + 10.0)
    lengths = rng.integers(*_FRAMES, size=size.songs, endpoint=True)
    weights = rng.dirichlet(_SONG_CONCENTRATION * beta / beta.sum(), size=size.songs)
    labels = [rng.choice(size.components, n, p=w) for n, w in zip(lengths, weights, strict=True)]
    order = np.argsort(np.concatenate(labels), kind="stable")
    counts = np.bincount(np.concatenate(labels), minlength=size.components)
    values = np.empty((len(order), size.dim), np.float32)
    for rows in np.split(order, np.cumsum(counts)[:-1]):
        axes, _ = np.linalg.qr(rng.standard_normal((size.dim, size.dim)))
        factor = ((axes * 2.0 ** rng.uniform(-0.5, 0.5, size.dim)) @ axes.T).astype(np.float32)
        mean = _SPREAD / size.dim**0.5 * rng.standard_normal(size.dim, dtype=np.float32)
        values[rows] = rng.standard_normal((len(rows), size.dim), dtype=np.float32) @ factor + mean
    sample = values[:: 1 + len(values) // 200_000].astype(np.float64)
    whitening = np.linalg.cholesky(np.linalg.inv(np.cov(sample.T)))
    values = (values - sample.mean(0).astype(np.float32)) @ whitening.astype(np.float32)
    return ragged(lengths, torch.from_numpy(values).to(device))


def first_state(corpus: Corpus, size: Size, options: LocalOptions, direct: bool = True) -> State:
    """k-means++ on a sample of frames, then one full step on the first songs: a model early in its training.

    Components are in order of falling atom count, the order in which the engine breaks their sticks.
    """
    generator = torch.Generator().manual_seed(size.seed)
    n_frames, device = len(corpus.values), corpus.values.device
    drawn = torch.randint(n_frames, (max(10_000, 20 * size.components),), generator=generator)
    sample = corpus.values[drawn.to(device)].cpu()
    prior = whitened_prior(size.dim, direct=direct)
    state = initialise.from_sample(prior, sample, size.components, n_frames, len(corpus), generator)
    state = replace(state, stats=state.stats.to(device))
    some = corpus[:_WARM_SONGS]
    batch, _ = model.batch_statistics(model.prepare(state), some, options)
    state = model.blend(state, batch, len(corpus) / len(some), 1.0)
    return replace(
        state, stats=state.stats.take(torch.argsort(state.stats.atoms, descending=True, stable=True))
    )


def engine_step(corpus: Corpus, state: State, options: LocalOptions) -> Step:
    """batch_statistics with the corpus as the mini-batch, blend and prepare."""
    globals_, device = model.prepare(state), corpus.values.device
    start = _now(device)
    batch, info = model.batch_statistics(globals_, corpus, options)
    middle = _now(device)
    model.prepare(model.blend(state, batch, 1.0, 0.1))
    return Step(_now(device) - start, middle - start, info)


def profiled(corpus: Corpus, globals_: Globals, options: LocalOptions) -> Products:
    """Time and work inside matrix products during batch_statistics, in every thread; prints a table of operations.

    Shares are of the time without the profiler, which is no part of a step.
    """
    device = corpus.values.device
    on_device = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    every_thread = _ExperimentalConfig(profile_all_threads=True)

    def statistics() -> None:
        model.batch_statistics(globals_, corpus, options)

    wall = _best_seconds(statistics, device)
    with profile(activities=activities, record_shapes=True, experimental_config=every_thread) as record:
        statistics()
    events = [event for event in record.events() or () if event.name.startswith("aten::")]
    seconds: Counter[str] = Counter()
    for event in events:
        seconds[event.name] += 1e-6 * (
            event.self_device_time_total if on_device else event.self_cpu_time_total
        )
    products = [event for event in events if event.name in _PRODUCTS]
    inside, flops = sum(seconds[name] for name in _PRODUCTS), sum(map(_flops, products))
    threads = 1 if on_device else min(len({event.thread for event in products}), torch.get_num_threads())
    rows = [[name, f"{100 * spent / (threads * wall):.1f}"] for name, spent in seconds.most_common(12)]
    _table(
        f"batch_statistics of {len(corpus)} songs on {threads} thread(s)", ["operation", "% of time"], rows
    )
    return Products(inside / (threads * wall), 1e-9 * flops / inside * threads)


def _flops(event: FunctionEvent) -> float:
    shapes: Any = event.input_shapes  # one list of sizes per argument, whatever the annotation says
    left, right = (shapes[i] for i in _PRODUCTS[event.name])
    return 2.0 * math.prod(left) * right[-1]


def machine_gflops(device: torch.device) -> float:
    """The highest rate of large float32 products: one on all threads, or one on each thread at once."""
    threads, rates = torch.get_num_threads(), []
    for m, k, n in _LARGE[: 4 if device.type == "cuda" else 3]:
        left, right = torch.randn(m, k, device=device), torch.randn(k, n, device=device)
        outs = [torch.empty(m, n, device=device) for _ in range(threads)]

        def product(out: Tensor, left: Tensor = left, right: Tensor = right) -> None:
            torch.mm(left, right, out=out)

        if device.type == "cuda":
            rates.append(2e-9 * m * k * n / _cuda_seconds(lambda: product(outs[0])))  # noqa: B023
            continue
        rates.append(2e-9 * m * k * n / _best_seconds(lambda: product(outs[0]), device, 10))  # noqa: B023
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads) as pool:
            together = _best_seconds(lambda: list(pool.map(product, outs)), device, 10)  # noqa: B023
        torch.set_num_threads(threads)
        rates.append(2e-9 * threads * m * k * n / together)
    return max(rates)


def likelihood_errors(corpus: Corpus, state: State, options: LocalOptions) -> tuple[float, float]:
    """E[log p(x_n | phi_k)] of the engine in float32 against the textbook formula in float64: largest and rms, nats."""
    _, exact = in_plain(state, corpus.values.device, torch.float64)
    errors = []
    ready = model.prepare(state)
    for group in groups(corpus, 8192):
        log_lik = model.log_likelihoods(ready, group.values)
        batch = plain.Batch(group.values.double(), group.mask.double())
        errors.append((log_lik - plain.log_likelihoods(batch, exact))[group.mask > 0])
    every = torch.cat(errors)
    return float(every.abs().max()), float(every.square().mean().sqrt())


def in_plain(state: State, device: torch.device, dtype: torch.dtype) -> tuple[plain.Prior, plain.Corpus]:
    """The engine's state in the plain implementation's words."""
    prior, stats = state.prior, state.stats
    mean, scale_inv = prior.mean.to(device), prior.scale_inv.to(device)
    theirs = plain.Prior(state.gamma, state.alpha0, mean, prior.strength, prior.dof, scale_inv)
    corpus = plain.posterior(theirs, plain.Statistics(stats.count, stats.first, stats.second, stats.atoms))
    return replace(theirs, mean=mean.to(dtype), scale_inv=scale_inv.to(dtype)), corpus.to(device, dtype)


def against_plain(
    corpus: Corpus, state: State, options: LocalOptions, speed: float, n_frames: int
) -> dict[str, object]:
    """The plain implementation's figures from its own random start and from the data-driven one."""
    frames = len(corpus.values)
    _, ours = model.batch_statistics(model.prepare(state), corpus, options)
    result: dict[str, object] = {"plain_songs": len(corpus), "bound": ours.bound / frames}
    timed = plain_seconds(corpus, state, options.n_atoms)
    _plain_table(len(corpus), timed)
    for start, suffix in (("random", ""), ("data", "_data_start")):
        run = plain_iterations(corpus, state, options, start, ours.bound)
        result |= {
            f"ratio_to_plain{suffix}": speed / timed.speed(run.iterations, n_frames),
            f"plain_frames_per_second{suffix}": timed.speed(run.iterations, n_frames),
            f"plain_iterations{suffix}": run.iterations,
            f"plain_bound{suffix}": run.bound / frames,
            f"plain_reached{suffix}": run.reached,
            f"plain_settled{suffix}": run.settled,
            f"ratio_to_plain_settled{suffix}": speed / timed.speed(run.settled, n_frames),
        }
    return result


def plain_iterations(
    corpus: Corpus, state: State, options: LocalOptions, start: str, target: float
) -> PlainRun:
    """The plain implementation's local iterations up to the target bound (nats, of all songs), or the most allowed."""
    prior, posterior = in_plain(state, corpus.values.device, torch.float32)
    batch, log_beta = plain.pad(list(corpus)), plain.expected_log_sticks(posterior.u, posterior.v)
    log_lik = plain.log_likelihoods(batch, posterior)
    zeta = _start(start, batch, log_lik, log_beta, options.n_atoms)
    enough, small = target - _TOLERANCE * len(corpus.values), options.tolerance * len(corpus.values)
    bounds: list[float] = []
    while len(bounds) < _MAX_ITERATIONS and not (bounds and bounds[-1] >= enough):
        local = plain.local_iteration(batch, log_lik, log_beta, prior.alpha0, zeta)
        zeta = local.zeta
        bounds.append(float(plain.local_bounds(log_lik, log_beta, prior.alpha0, local, _UNUSED).sum()))
    still = (i + 2 for i, (a, b) in enumerate(itertools.pairwise(bounds)) if b - a < small)
    return PlainRun(len(bounds), next(still, len(bounds)), bounds[-1], bounds[-1] >= enough)


def _start(kind: str, batch: plain.Batch, log_lik: Tensor, log_beta: Tensor, n_atoms: int) -> Tensor:
    if kind == "random":
        return plain.random_start(batch, n_atoms, torch.Generator().manual_seed(0))
    return plain.supported_start(batch, log_lik, log_beta, min(n_atoms, len(log_beta)))


def plain_seconds(corpus: Corpus, state: State, n_atoms: int) -> PlainSeconds:
    """The best of some rounds, part by part."""
    device = corpus.values.device
    prior, posterior = in_plain(state, device, torch.float32)
    batch, log_beta = plain.pad(list(corpus)), plain.expected_log_sticks(posterior.u, posterior.v)
    log_lik = plain.log_likelihoods(batch, posterior)
    zeta = plain.random_start(batch, n_atoms, torch.Generator().manual_seed(0))
    local = plain.local_iteration(batch, log_lik, log_beta, prior.alpha0, zeta)
    stats = plain.statistics(batch, local)

    def corpus_update() -> None:
        plain.blend(posterior, plain.posterior(prior, stats), 0.1)

    return PlainSeconds(
        len(corpus.values),
        _best_seconds(lambda: plain.log_likelihoods(batch, posterior), device),
        _best_seconds(lambda: plain.local_iteration(batch, log_lik, log_beta, prior.alpha0, zeta), device),
        _best_seconds(lambda: plain.statistics(batch, local), device),
        _best_seconds(corpus_update, device),
    )


def _plain_table(songs: int, spent: PlainSeconds) -> None:
    by_frame = (1e6 * part / spent.frames for part in (spent.likelihood, spent.iteration, spent.statistics))
    row = [str(songs), *(f"{us:.2f}" for us in by_frame), f"{1e3 * spent.corpus:.1f}"]
    header = ["songs", "likelihood us/frame", "iteration us/frame", "statistics us/frame", "corpus ms"]
    _table("plain implementation by part", header, [row])


def scaling(device: torch.device, seed: int) -> None:
    """Speed and peak memory of a step as songs, components or dimensions grow, the others as in the first row."""
    sizes = [Size(songs, 64, 32, 26, seed) for songs in (256, 1024, 4096)]
    sizes += [Size(256, components, 32, 26, seed) for components in (256, 1024)]
    sizes += [Size(256, 64, 32, dim, seed) for dim in (13, 52)]
    rows = []
    for size in sizes:
        corpus, options = synthetic(size, device), LocalOptions(n_atoms=size.atoms)
        state = first_state(corpus, size, options)
        with _peak_mb(device) as peak:
            step = engine_step(corpus, state, options)
        step = min(step, engine_step(corpus, state, options), key=lambda s: s.seconds)
        held = corpus.values.nbytes / 2**20
        figures = (len(corpus.values) / step.seconds, peak[0], held)
        rows.append(
            [str(n) for n in (size.songs, size.components, size.dim)] + [f"{x:,.0f}" for x in figures]
        )
    header = ["songs", "components", "dimensions", "frames a second", "peak MB", "MB of frames"]
    _table(f"scaling, 32 atoms, {torch.get_num_threads()} thread(s), {device}", header, rows)


@contextmanager
def _peak_mb(device: torch.device) -> Iterator[list[float]]:
    """A list that afterwards holds how far resident memory grew at its peak, or CUDA's allocations at theirs."""
    peak: list[float] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        yield peak
        peak.append(torch.cuda.max_memory_allocated() / 2**20 - before)
        return
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak, VmHWM, starts again from VmRSS
    before = _resident_mb("VmRSS")
    yield peak
    peak.append(_resident_mb("VmHWM") - before)


def _resident_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def _now(device: torch.device) -> float:
    """Seconds on the clock once the device's work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _best_seconds(task: Callable[[], object], device: torch.device, repeats: int = _REPEATS) -> float:
    times: list[float] = []
    while len(times) < repeats and sum(times) < _LONG:
        start = _now(device)
        task()
        times.append(_now(device) - start)
    return min(times)


def _cuda_seconds(task: Callable[[], object], calls: int = 10) -> float:
    """Seconds of one call between two events, calls one after the other, after one unmeasured."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    task()
    start.record()
    for _ in range(calls):
        task()
    end.record()
    torch.cuda.synchronize()
    return 1e-3 * start.elapsed_time(end) / calls


def _table(title: str, header: list[str], rows: list[list[str]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(title, *("\t".join(row) for row in [header, *rows]), sep="\n")
        return
    table = Table(*header, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
