"""`python -m tests.bench.recovery --seeds 20`: quality from the defaults on corpora whose truth is known.

A run draws the corpus of one case and seed, fits HDPGMM without a setting (but the size of a mini-batch, and the
epochs of the long case) and scores held-out songs by document completion, with the model found and with the true
parameters. Printed are a table and one JSON line. `--out FILE` keeps every run as a line of JSON; a run that the file
has is not repeated. `--truth` describes the corpora instead and fits nothing.
"""

import os

os.environ.update(
    OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE"
)

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hdpgmm.estimator import HDPGMM
from hdpgmm.model import effective_components

CONCENTRATION = 8.0  # a song's weights are Dirichlet(8 * weights of the corpus)
HELD_OUT_SONGS = 100
EM_STEPS = 50
NEAR_NATS, NEAR_SHARE, COLLAPSE_NATS, COLLAPSE_SHARE = 0.1, 0.1, 1.0, 0.5


@dataclass(frozen=True)
class Case:
    """A kind of corpus. frames: least and greatest length of a song.

    spread: standard deviation of the components' means in each dimension, where a component's own variance is 1.3;
    chosen for a Bayes error of 2 to 4 % (`--truth`). epochs: train exactly that many; None is the default.
    """

    name: str
    n_true: int
    dim: int
    weights: str
    batch_songs: int
    songs: int
    frames: tuple[int, int]
    spread: float
    epochs: int | None = None

    def corpus_weights(self) -> np.ndarray:
        """(comp,): equal, or proportional to 1 / rank."""
        ranks = np.arange(1, self.n_true + 1)
        masses = {"balanced": np.ones(self.n_true), "zipf": 1.0 / ranks}[self.weights]
        return masses / masses.sum()


CASES = (
    Case("balanced-10", 10, 8, "balanced", 8, 400, (50, 150), 2.0),
    Case("zipf-10", 10, 8, "zipf", 512, 2000, (50, 150), 2.0),
    Case("balanced-30", 30, 20, "balanced", 64, 1000, (100, 300), 1.1),
    Case("zipf-30", 30, 20, "zipf", 8, 1000, (100, 300), 1.1),
    Case("balanced-100", 100, 20, "balanced", 512, 2000, (100, 200), 1.25),
    Case("zipf-100", 100, 20, "zipf", 64, 2000, (100, 200), 1.25),
    Case("balanced-10-wide", 10, 52, "balanced", 8, 1000, (100, 200), 0.5),
    Case("balanced-30-wide", 30, 52, "balanced", 512, 3000, (100, 200), 0.6),
    Case("zipf-30-wide", 30, 52, "zipf", 64, 3000, (100, 200), 0.6),
    Case("balanced-100-wide", 100, 52, "balanced", 64, 5000, (100, 300), 0.7),
    Case("zipf-30-long", 30, 20, "zipf", 64, 400, (100, 300), 1.1, epochs=100),
)


@dataclass(frozen=True)
class Truth:
    """Gaussians in the units of the features: weights (comp,), means (comp, dim), covariances (comp, dim, dim)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def log_densities(self, frames: np.ndarray) -> np.ndarray:
        """(frame, dim) -> (frame, comp), nats."""
        factors = np.linalg.cholesky(self.covariances)
        out = np.empty((len(frames), len(self.weights)))
        for k, (mean, factor) in enumerate(zip(self.means, factors, strict=True)):
            white = (frames - mean) @ np.linalg.inv(factor).T
            out[:, k] = -0.5 * (white**2).sum(1) - np.log(np.diag(factor)).sum()
        return out - 0.5 * frames.shape[1] * np.log(2 * np.pi)


@dataclass(frozen=True)
class Corpus:
    """Songs (frame, dim) float32, the component of each of their frames, and what made them."""

    truth: Truth
    training: list[np.ndarray]
    held_out: list[np.ndarray]
    training_labels: np.ndarray
    held_out_labels: np.ndarray

    @property
    def n_effective(self) -> int:
        """Components that carry 99 % of the frames drawn for training."""
        counts = np.bincount(self.training_labels, minlength=len(self.truth.weights))
        return effective_components(torch.from_numpy(counts).double())


@dataclass(frozen=True)
class Run:
    """One fit. found and truth: held-out nats a frame; components: how many carry 99 % of the mass."""

    case: str
    seed: int
    definition: dict[str, Any]
    true_components: int
    found_components: int
    truth: float
    found: float
    epochs: int
    frames: int
    seconds: float

    @property
    def gap(self) -> float:
        """Nats a frame that the model found is worse than the true parameters."""
        return self.truth - self.found

    @property
    def near(self) -> bool:
        return abs(self.gap) <= NEAR_NATS

    @property
    def components_near(self) -> bool:
        return abs(self.found_components - self.true_components) <= NEAR_SHARE * self.true_components

    @property
    def collapsed(self) -> bool:
        """Far from the truth in likelihood or in the number of components, or without a likelihood."""
        few = self.found_components < COLLAPSE_SHARE * self.true_components
        return few or not self.gap <= COLLAPSE_NATS


def draw_corpus(case: Case, seed: int) -> Corpus:
    """Training and held-out songs; every feature has a scale and an origin of its own."""
    rng = np.random.default_rng([seed, *case.name.encode()])
    truth = _draw_truth(case, rng)
    factors = np.linalg.cholesky(truth.covariances)
    songs, labels = [], []
    for _ in range(case.songs + HELD_OUT_SONGS):
        n_frames = rng.integers(*case.frames, endpoint=True)
        label = rng.choice(case.n_true, n_frames, p=rng.dirichlet(CONCENTRATION * truth.weights))
        noise = np.einsum("nij,nj->ni", factors[label], rng.normal(size=(n_frames, case.dim)))
        songs.append((truth.means[label] + noise).astype(np.float32))
        labels.append(label)
    n, parts = case.songs, np.concatenate
    return Corpus(truth, songs[:n], songs[n:], parts(labels[:n]), parts(labels[n:]))


def _draw_truth(case: Case, rng: np.random.Generator) -> Truth:
    """Covariances are 0.3 I plus a Wishart of 4 D degrees of freedom and mean I, then all is scaled and shifted."""
    means = case.spread * rng.normal(size=(case.n_true, case.dim))
    roots = rng.normal(size=(case.n_true, case.dim, 4 * case.dim)) / np.sqrt(4 * case.dim)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(case.dim)
    scale, origin = np.exp(rng.normal(size=case.dim)), rng.normal(scale=3.0, size=case.dim)
    return Truth(
        case.corpus_weights(), scale * (means + origin), scale[:, None] * covariances * scale[None, :]
    )


def true_completion(truth: Truth, songs: list[np.ndarray]) -> float:
    """Nats a frame of the odd frames; the even ones give a song's weights by EM from the true Dirichlet prior."""
    total, scored = 0.0, 0
    for frames in songs:
        log_lik = truth.log_densities(frames.astype(np.float64))
        top = log_lik.max(1, keepdims=True)
        density = np.exp(log_lik - top)
        weights = _song_weights(density[0::2], truth.weights)
        total += float((np.log(density[1::2] @ weights) + top[1::2, 0]).sum())
        scored += len(frames) // 2
    return total / scored


def labelled_fit(corpus: Corpus) -> Truth:
    """The Gaussians that maximise the likelihood of the training frames when their components are known.

    What held-out frames lose with these is what the size of the corpus costs anybody: about n_true (D (D + 1) / 2 + D)
    / (2 frames) nats a frame.
    """
    frames, true = np.concatenate(corpus.training).astype(np.float64), corpus.truth
    parts = [frames[corpus.training_labels == k] for k in range(len(true.weights))]
    covariances = [np.cov(part, rowvar=False, bias=True) for part in parts]
    return Truth(true.weights, np.stack([part.mean(0) for part in parts]), np.stack(covariances))


def _song_weights(density: np.ndarray, corpus_weights: np.ndarray) -> np.ndarray:
    """A song's weights, (comp,); density (frame, comp) may have a factor of its own in each row."""
    weights, prior = corpus_weights, CONCENTRATION * corpus_weights
    for _ in range(EM_STEPS):
        resp = density * weights
        resp /= resp.sum(1, keepdims=True)
        weights = (resp.sum(0) + prior) / (len(density) + CONCENTRATION)
    return weights


def measure(case: Case, seed: int, device: str) -> Run:
    """Draw, fit, score."""
    torch.set_num_threads(1)
    corpus = draw_corpus(case, seed)
    long = {} if case.epochs is None else {"max_epochs": case.epochs, "early_stopping": False}
    started = time.perf_counter()
    model = HDPGMM(seed=seed, batch_songs=case.batch_songs, device=device, **long).fit(corpus.training)
    seconds = time.perf_counter() - started
    return Run(
        case=case.name,
        seed=seed,
        definition=_definition(case),
        true_components=corpus.n_effective,
        found_components=effective_components(torch.as_tensor(model.weights_)),
        truth=true_completion(corpus.truth, corpus.held_out),
        found=model.score(corpus.held_out),
        epochs=len(model.history_),
        frames=len(corpus.training_labels),
        seconds=seconds,
    )


def _measure(task: tuple[Case, int, str]) -> Run:
    return measure(*task)


def _definition(case: Case) -> dict[str, Any]:
    """The case as JSON gives it back."""
    return json.loads(json.dumps(asdict(case)))


def run_all(
    cases: Iterable[Case], seeds: int, processes: int, out: Path | None, device: str = "cpu"
) -> list[Run]:
    """Every case with seeds 0, 1, ...; those that `out` has for the same definition are taken from there."""
    done = {(run.case, run.seed): run for run in _stored(out) if run.definition in map(_definition, cases)}
    wanted = [(case, seed) for seed in range(seeds) for case in cases]
    runs = [done[case.name, seed] for case, seed in wanted if (case.name, seed) in done]
    pending = [(case, seed, device) for case, seed in wanted if (case.name, seed) not in done]
    with get_context("spawn").Pool(processes) as pool:
        for run in pool.imap_unordered(_measure, pending):
            runs.append(run)
            if out:
                with out.open("a") as file:
                    file.write(json.dumps(asdict(run)) + "\n")
            print(f"{len(runs)}/{len(wanted)} {_line(run)}", flush=True)
    return runs


def _stored(out: Path | None) -> Iterator[Run]:
    if out and out.exists():
        yield from (Run(**json.loads(line)) for line in out.read_text().splitlines())


def _line(run: Run) -> str:
    return (
        f"{run.case} seed {run.seed}: gap {run.gap:.3f}, components {run.found_components} of {run.true_components}, "
        f"{run.epochs} epochs, {run.seconds:.1f} s"
    )


def summarise(runs: list[Run]) -> dict[str, Any]:
    """The figures of one case. Rates are frames visited in all epochs per second."""
    found = [run.found_components for run in runs]
    gaps = [run.gap for run in runs]
    return {
        "case": runs[0].case,
        "seeds": len(runs),
        "true_components": median(run.true_components for run in runs),
        "found_components": [median(found), min(found), max(found)],
        "gap": median(gaps),
        "worst_gap": max(gaps, key=abs),
        "within_0.1": sum(run.near for run in runs),
        "k_within_10pct": sum(run.components_near for run in runs),
        "collapsed": sum(run.collapsed for run in runs),
        "epochs": median(run.epochs for run in runs),
        "seconds": median(run.seconds for run in runs),
        "frames_per_second": median(run.epochs * run.frames / run.seconds for run in runs),
    }


def overall(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON line: shares of seeds in the worst case, collapses of all."""
    return {
        "cases": rows,
        "within_0.1": min(row["within_0.1"] / row["seeds"] for row in rows),
        "k_within_10pct": min(row["k_within_10pct"] / row["seeds"] for row in rows),
        "collapsed": sum(row["collapsed"] for row in rows),
        "worst_gap": max((row["worst_gap"] for row in rows), key=abs),
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """One line a case."""
    out = Table("case", "K true", "K found", "gap, nats", "gap <= 0.1", "K within 10 %", "collapsed", "epochs", "s",
                "frames/s")  # fmt: skip
    for row in rows:
        middle, least, greatest = row["found_components"]
        out.add_row(
            row["case"],
            f"{row['true_components']:g}",
            f"{middle:g} [{least}, {greatest}]",
            f"{row['gap']:.3f} [{row['worst_gap']:.3f}]",
            *(f"{row[key]}/{row['seeds']}" for key in ("within_0.1", "k_within_10pct", "collapsed")),
            f"{row['epochs']:g}",
            f"{row['seconds']:.1f}",
            f"{row['frames_per_second']:.0f}",
        )
    return out


def truth_table(cases: Iterable[Case], seeds: int) -> Table:
    """What the corpora are like. Means over seeds, but of `rarest`: the fewest frames of a component in any of them.

    `labelled`: nats a frame by which Gaussians estimated from the labels are worse than the true ones.
    """
    out = Table("case", "D", "batch", "songs", "frames", "K", "K of 99 %", "rarest", "Bayes error", "truth, nats",
                "labelled")  # fmt: skip
    for case in cases:
        figures = np.array([_truth_figures(draw_corpus(case, seed)) for seed in range(seeds)])
        frames, effective, _, error, truth, labelled = figures.mean(0)
        out.add_row(
            case.name,
            *map(str, (case.dim, case.batch_songs, case.songs)),
            f"{frames:.0f}",
            str(case.n_true),
            f"{effective:.1f}",
            f"{figures[:, 2].min():.0f}",
            f"{error:.3f}",
            f"{truth:.3f}",
            f"{labelled:.3f}",
        )
    return out


def _truth_figures(corpus: Corpus) -> tuple[float, ...]:
    """Frames, effective components, frames of the rarest, Bayes error, nats a frame, what the labelled fit loses."""
    counts = np.bincount(corpus.training_labels, minlength=len(corpus.truth.weights))
    truth = true_completion(corpus.truth, corpus.held_out)
    labelled = truth - true_completion(labelled_fit(corpus), corpus.held_out)
    return counts.sum(), corpus.n_effective, counts.min(), bayes_error(corpus), truth, labelled


def bayes_error(corpus: Corpus) -> float:
    """Share of held-out frames whose most probable component, given the corpus' weights, is not theirs."""
    log_lik = corpus.truth.log_densities(np.concatenate(corpus.held_out).astype(np.float64))
    return float(((log_lik + np.log(corpus.truth.weights)).argmax(1) != corpus.held_out_labels).mean())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recovery", description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("--seeds", type=int, default=20, help="runs of each case")
    parser.add_argument(
        "--case", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--processes", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, help="file of JSON lines that keeps the runs")
    parser.add_argument("--truth", action="store_true", help="describe the corpora and fit nothing")
    options = parser.parse_args()
    cases = [case for case in CASES if case.name in options.case]
    if options.truth:
        Console(width=130).print(truth_table(cases, options.seeds))
        return
    runs = run_all(cases, options.seeds, options.processes, options.out, options.device)
    rows = [summarise([run for run in runs if run.case == case.name]) for case in cases]
    Console(width=130).print(table(rows))
    print(json.dumps(overall(rows)))


if __name__ == "__main__":
    main()
