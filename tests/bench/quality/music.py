"""`python -m tests.bench.quality.music --frames ROOT`: held-out songs under HDPGMM and under scikit-learn's mixture.

Both are fitted to the same songs and score the same held-out songs by document completion: a song's even frames give
its weights, its odd frames are scored. HDPGMM runs with its defaults. scikit-learn's BayesianGaussianMixture (full
covariances, Dirichlet process, its own defaults otherwise) gets the whitened frames, as many components as HDPGMM
ended with, and runs to convergence or for `--iterations`; the weights of a song then are those of EM on the even frames
with `pseudo` * weights_ as pseudo-counts, `pseudo` chosen on training songs. Its odd frames are scored twice: with the
Gaussians at its posterior means, and with the posterior predictive (Student t) of the same posterior. Both models
compute on `--device`; scikit-learn's densities and covariances are then torch's (float64), the rest is its own.

ROOT is where `jobs.extract` has put features, or an .npz with `values` (frame, dim) and `offsets` (song + 1,).
Printed are a table and one JSON line. `score` is nats a frame over all held-out frames, `song_score` the mean over
songs, so that a long song counts once; `margin` and `song_margin` are HDPGMM minus the better of scikit-learn's two,
and `song_margin_error` is the standard error of the latter over held-out songs.
"""

import os

from hdpgmm.ragged import Ragged, ragged

os.environ.update(OMP_WAIT_POLICY="PASSIVE")

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.special import gammaln
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, _base, _bayesian_mixture, _gaussian_mixture

from features.spec import DEFAULT_PRESET, PRESETS, fingerprint
from hdpgmm.data.whitening import Whitening, moments, whitening
from hdpgmm.estimator import HDPGMM
from infra.errors import ConfigError
from infra.root.ledger import Tree
from infra.root.songs import read_block, read_songs
from infra.storage.store import Store

HELD_OUT = 0.2
PSEUDO_COUNTS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
PSEUDO_SONGS = 50
EM_STEPS = 50
TOLERANCE = 1e-4  # of the bound, nats a frame and iteration

Songs = list[np.ndarray]
LogDensities = Callable[[np.ndarray], np.ndarray]


def read_frames(path: Path) -> Songs:
    """Songs (frame, dim) float32, in the order of their names or of the file."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return list(Ragged(file["values"], file["offsets"]))
    store = Store(str(path))
    snapshot = Tree(store, f"features/{fingerprint(PRESETS[DEFAULT_PRESET])}").latest("default")
    if snapshot is None:
        raise ConfigError(f"{path}: no features; run python -m jobs.index and python -m jobs.extract first")
    table = read_songs(store, snapshot)
    places = sorted(
        zip(*(table[name].to_pylist() for name in ("path", "row_group", "row", "track_id")), strict=True)
    )
    songs = {}
    for (shard, group), rows in itertools.groupby(places, key=lambda place: place[:2]):
        block = read_block(store, shard, group, [row for _, _, row, _ in rows])
        songs |= dict(zip(block.track_ids, ragged(block.lengths, block.values), strict=True))
    return [songs[name] for name in sorted(songs)]


def gaussian(model: BayesianGaussianMixture) -> LogDensities:
    """log N(x | means_, covariances_), (frame, comp)."""
    factors = [np.linalg.inv(np.linalg.cholesky(cov)) for cov in model.covariances_]

    def log_densities(frames: np.ndarray) -> np.ndarray:
        log_det = [np.log(np.diag(factor)).sum() for factor in factors]
        return log_det - 0.5 * (
            _distances(frames, model.means_, factors) + frames.shape[1] * np.log(2 * np.pi)
        )

    return log_densities


def student(model: BayesianGaussianMixture) -> LogDensities:
    """Posterior predictive (Bishop 2006, equations 10.81 and 10.82), (frame, comp).

    covariances_ is the inverse of nu W, so the scale matrix is (1 + beta) nu / (beta (nu + 1 - D)) covariances_.
    """
    dim, nu, beta = model.means_.shape[1], model.degrees_of_freedom_, model.mean_precision_
    dof = nu + 1 - dim
    scales = ((1 + beta) * nu / (beta * dof))[:, None, None] * model.covariances_
    factors = [np.linalg.inv(np.linalg.cholesky(scale)) for scale in scales]
    constant = gammaln((dof + dim) / 2) - gammaln(dof / 2) - dim / 2 * np.log(dof * np.pi)
    constant += [np.log(np.diag(factor)).sum() for factor in factors]

    def log_densities(frames: np.ndarray) -> np.ndarray:
        return constant - (dof + dim) / 2 * np.log1p(_distances(frames, model.means_, factors) / dof)

    return log_densities


def _distances(frames: np.ndarray, means: np.ndarray, factors: Songs) -> np.ndarray:
    """Squared Mahalanobis distances, (frame, comp)."""
    parts = zip(means, factors, strict=True)
    return np.stack([(((frames - mean) @ factor.T) ** 2).sum(1) for mean, factor in parts], axis=1)


def completion(log_densities: LogDensities, weights: np.ndarray, pseudo: float, songs: Songs) -> np.ndarray:
    """Nats a frame of each song's odd frames, (song,), its weights being those of EM on its even frames."""
    scores = []
    for frames in songs:
        log_lik = log_densities(frames)
        top = log_lik.max(1, keepdims=True)
        density = np.exp(log_lik - top)
        song_weights = _song_weights(density[0::2], weights, pseudo)
        scores.append((np.log(density[1::2] @ song_weights) + top[1::2, 0]).mean())
    return np.array(scores)


def overall(scores: np.ndarray, songs: Songs) -> float:
    """Nats a frame over all odd frames, from those of each song."""
    return float(np.average(scores, weights=[len(frames) // 2 for frames in songs]))


def _song_weights(density: np.ndarray, prior: np.ndarray, pseudo: float) -> np.ndarray:
    """(comp,); density (frame, comp) may have a factor of its own in each row."""
    weights = prior
    for _ in range(EM_STEPS):
        resp = density * weights
        resp /= resp.sum(1, keepdims=True)
        weights = (resp.sum(0) + pseudo * prior) / (len(density) + pseudo)
    return weights


@contextmanager
def products_on(device: str) -> Iterator[None]:
    """While it lasts, scikit-learn's mixtures of full covariance take what is heavy from torch: same numbers, sooner.

    scikit-learn goes over the frames once a component, in temporaries of all of them, on one thread but for products.
    """

    def log_densities(frames, means, precisions_chol, covariance_type, xp=None):
        x, mu, factors = (_on(a, device) for a in (frames, means, precisions_chol))
        squares = torch.empty(len(x), len(mu), dtype=x.dtype, device=device)
        for k, (mean, factor) in enumerate(zip(mu, factors, strict=True)):
            squares[:, k] = (x @ factor - mean @ factor).square().sum(1)
        log_det = factors.diagonal(dim1=1, dim2=2).log().sum(1)
        return (log_det - 0.5 * (x.shape[1] * np.log(2 * np.pi) + squares)).cpu().numpy()

    def covariances(resp, frames, nk, means, reg_covar, xp=None):
        x, weights, mu = (_on(a, device) for a in (frames, resp, means))
        parts = [
            (diff * weights[:, k, None]).T @ diff for k, diff in ((k, x - mean) for k, mean in enumerate(mu))
        ]
        found = torch.stack(parts) / _on(nk, device)[:, None, None]
        return (found + reg_covar * torch.eye(x.shape[1], dtype=x.dtype, device=device)).cpu().numpy()

    def logsumexp(values, axis, xp=None):
        return torch.from_numpy(values).logsumexp(axis).numpy()

    with (
        mock.patch.object(_bayesian_mixture, "_estimate_log_gaussian_prob", log_densities),
        mock.patch.object(_gaussian_mixture, "_estimate_gaussian_covariances_full", covariances),
        mock.patch.object(_base, "_logsumexp", logsumexp),
    ):
        yield


def _on(array: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(array).to(device)


def sklearn_rows(
    training: Songs, held_out: Songs, n_components: int, seed: int, iterations: int, device: str
) -> Iterator[dict[str, Any]]:
    """Fit once, score with either density."""
    frames = np.concatenate(training)
    transform = whitening(moments(frames))
    model = BayesianGaussianMixture(
        n_components=n_components,
        weight_concentration_prior_type="dirichlet_process",
        max_iter=iterations,
        tol=TOLERANCE * len(frames),
        random_state=seed,
    )
    started = time.perf_counter()
    with warnings.catch_warnings(), products_on(device):
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` of the row says it
        model.fit(_white(transform, frames))
    seconds = time.perf_counter() - started
    sample = [_white(transform, song) for song in training[:PSEUDO_SONGS]]
    scored = [_white(transform, song) for song in held_out]
    for name, density in (("gaussian", gaussian(model)), ("student", student(model))):
        pseudo = max(
            PSEUDO_COUNTS,
            key=lambda count: overall(completion(density, model.weights_, count, sample), sample),
        )
        yield {
            "model": f"sklearn {name}",
            "n_components": n_components,
            "scores": completion(density, model.weights_, pseudo, scored) + transform.log_det,
            "pseudo": pseudo,
            "iterations": model.n_iter_,
            "converged": bool(model.converged_),
            "seconds": seconds,
        }


def _white(transform: Whitening, frames: np.ndarray) -> np.ndarray:
    return transform(frames).astype(np.float64)


def hdpgmm_row(training: Songs, held_out: Songs, seed: int, device: str) -> dict[str, Any]:
    """Fit with the defaults and score."""
    started = time.perf_counter()
    model = HDPGMM(seed=seed, device=device).fit(training)
    seconds = time.perf_counter() - started
    return {
        "model": "HDPGMM",
        "n_components": model.n_components_,
        "scores": np.array([model.score([song]) for song in held_out]),
        "iterations": len(model.history_),
        "seconds": seconds,
    }


def compare(songs: Songs, seed: int, iterations: int, device: str) -> list[dict[str, Any]]:
    """All rows of one split of the songs."""
    order = np.random.default_rng(seed).permutation(len(songs))
    n_held_out = round(HELD_OUT * len(songs))
    held_out, training = ([songs[j] for j in part] for part in np.split(order, [n_held_out]))
    rows = [hdpgmm_row(training, held_out, seed, device)]
    rows += sklearn_rows(training, held_out, rows[0]["n_components"], seed, iterations, device)
    return [{"seed": seed, **row} for row in _scored(rows, held_out)]


def _scored(rows: list[dict[str, Any]], held_out: Songs) -> Iterator[dict[str, Any]]:
    """Scores of all songs in place of those of each, and in HDPGMM's row (the first) its margins."""
    scores = [row.pop("scores") for row in rows]
    ours, *theirs = scores
    song_margin = ours - max(theirs, key=np.mean)
    rows[0] |= {
        "margin": overall(ours, held_out) - max(overall(part, held_out) for part in theirs),
        "song_margin": float(song_margin.mean()),
        "song_margin_error": float(song_margin.std(ddof=1) / np.sqrt(len(song_margin))),
    }
    for row, part in zip(rows, scores, strict=True):
        yield {**row, "score": overall(part, held_out), "song_score": float(part.mean())}


def table(rows: list[dict[str, Any]]) -> Table:
    """One line a seed and model."""
    out = Table("seed", "model", "K", "nats/frame", "mean of songs", "pseudo", "iterations", "s")
    for row in rows:
        out.add_row(
            str(row["seed"]),
            row["model"],
            str(row["n_components"]),
            f"{row['score']:.3f}",
            f"{row['song_score']:.3f}",
            f"{row['pseudo']:g}" if "pseudo" in row else "",
            f"{row['iterations']}{'' if row.get('converged', True) else ' (not converged)'}",
            f"{row['seconds']:.1f}",
        )
    return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality.music", description=__doc__)
    parser.add_argument(
        "--frames", type=Path, required=True, metavar="ROOT", help="root with features, or an .npz"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of splits and models")
    parser.add_argument("--iterations", type=int, default=2000, help="scikit-learn's, at most")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    songs = [song for song in read_frames(options.frames) if len(song) > 1]
    rows = []
    for seed in options.seeds:
        rows += compare(songs, seed, options.iterations, options.device)
        print(json.dumps(rows[-3:]), flush=True)
    Console(width=120).print(table(rows))
    print(json.dumps({"rows": rows, "worst_margin": min(row["margin"] for row in rows if "margin" in row)}))


if __name__ == "__main__":
    main()
