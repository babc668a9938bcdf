"""HDPGMM in memory, with scikit-learn's conventions: fit, transform, score. Torch and numpy alone, no Ray."""

import functools
import inspect
import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hdpgmm import represent, schedule, training
from hdpgmm.components.normal_gamma import NormalGamma
from hdpgmm.components.normal_wishart import NormalWishart
from hdpgmm.components.prior import Concentration
from hdpgmm.data.autocorrelation import dependence, lagged
from hdpgmm.data.whitening import Moments, moments, standardising, whitening
from hdpgmm.model import State, corpus_bound, corpus_weights, family, prepare
from hdpgmm.moves.merge_delete import Move, Probe
from hdpgmm.record import from_arrays, to_arrays
from hdpgmm.score import completion

Songs = Sequence[np.ndarray] | tuple[np.ndarray, np.ndarray]
Ragged = tuple[Tensor, Tensor]
Kind = Literal["posterior", "soft", "responsibility", "expected", "fisher"]

HELDOUT_SHARE, HELDOUT_SONGS, FEWEST_FOR_HELDOUT = 0.05, 256, 20
FORMAT = 2
DEPENDENCE_FRAMES = 50_000  # from which it is estimated how far frames depend on each other
LARGEST = 1e100  # of values: sums of squares and covariances of these are float64
SMALLEST = 1e-100  # that the widest feature varies by, for the same reason
FARTHEST = 1e12  # standard deviations of the songs fitted: float32 has no squares of a frame much farther off
_AT_ONCE = 1 << 18  # frames checked and whitened at once


class HDPGMM:
    """Hierarchical Dirichlet process Gaussian mixture model of songs, each a bag of frames.

    n_components: components at the start; training merges, deletes and adds them. n_atoms: components one song may use.
    covariance_type: "full" or "diag". song_level: "direct" integrates a song's atoms out, "sticks" is the paper's form.
    gamma, alpha0: None learns the concentration, a number fixes it. batch_songs: songs of a mini-batch, None for an
    eighth of the corpus within 16..1024. max_epochs: passes over the songs at most; training stops when the score of
    songs held out (a twentieth of those with two frames; the bound, of under 20) stands still, unless early_stopping is
    False. settings: everything that is
    learned with, instead of the arguments before. seed: of every random choice. device: "cpu" or "cuda". callback:
    called with a dict after each epoch.

    A feature that is the same in all frames fitted does no harm: it counts as one of unit variance about that value.

    After fit, in the features' own units: weights_ (K,), means_ (K, D), covariances_ (K, D, D) or, with "diag", (K, D),
    degrees_of_freedom_ (K,), n_components_, n_features_in_, history_ (one dict an epoch), moves_ (merges, deletions,
    births).

    >>> rng = np.random.default_rng(0)
    >>> songs = [rng.normal(size=(200, 2)) + 9 * rng.integers(0, 2, size=(200, 1)) for _ in range(30)]
    >>> model = HDPGMM(n_components=8).fit(songs)
    >>> model.n_components_, model.transform(songs).shape
    (2, (30, 2))
    """

    def __init__(
        self,
        n_components: int = 256,
        n_atoms: int = 32,
        *,
        covariance_type: Literal["full", "diag"] = "full",
        song_level: Literal["direct", "sticks"] = "direct",
        gamma: float | None = None,
        alpha0: float | None = None,
        batch_songs: int | None = None,
        max_epochs: int = 20,
        early_stopping: bool = True,
        settings: training.Settings | None = None,
        seed: int = 0,
        device: str = "cpu",
        callback: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.n_components, self.n_atoms = n_components, n_atoms
        self.covariance_type, self.song_level = covariance_type, song_level
        self.gamma, self.alpha0, self.batch_songs, self.max_epochs = gamma, alpha0, batch_songs, max_epochs
        self.early_stopping, self.settings, self.seed = early_stopping, settings, seed
        self.device, self.callback = device, callback
        self._learned: State | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as scikit-learn's clone, Pipeline and searches want them."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> "HDPGMM":
        """Other arguments for the next fit. Raises ValueError for a name that is none of them."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{name!r} is no parameter of HDPGMM; known: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn 1.6 and later ask of a step of a Pipeline: songs in, float32 vectors out, no target."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(two_d_array=False),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return self._learned is not None

    def fit(self, songs: Songs, y: object = None) -> "HDPGMM":
        """Learn from songs: a sequence of (n_frames, n_features) arrays, or (values, offsets) of all of them.

        With early stopping and songs enough to hold some out, the model is that of the last epoch near the best score.
        Raises ValueError where a song has another number of features, or a value that is not finite or beyond 1e100.
        A fit that is interrupted (KeyboardInterrupt) leaves the model of its last step, ready for use.
        """
        values, offsets = _ragged(songs)
        if not len(values):
            raise ValueError("songs: expected at least one song with at least one frame, found none")
        rng = np.random.default_rng(self.seed)
        heldout = self._heldout(np.diff(offsets), rng)
        trained = np.setdiff1d(np.arange(len(offsets) - 1), heldout)
        training_songs = _take(values, offsets, trained)
        self._begin(*training_songs)
        self._songs_seen = len(trained)
        tensors = self._tensors(*training_songs)
        judged = self._tensors(*_take(values, offsets, heldout), heldout) if len(heldout) else None
        generator = torch.Generator().manual_seed(self.seed)
        probe = self._probe(*tensors, rng)
        batch = self.batch_songs or schedule.batch_songs(len(trained))
        steps_per_epoch, best = -(-len(trained) // batch), self._state
        for epoch in range(self.max_epochs):
            order, bound = rng.permutation(len(trained)), 0.0
            for index in np.split(order, range(batch, len(order), batch)):
                part = _take(*tensors, index)
                self._state, info = training.learn(self._state, *part, len(trained), self._settings)
                bound += info.bound
                last = self._state.step == self.max_epochs * steps_per_epoch
                if (
                    self._settings.moves
                    and not last
                    and schedule.moves_due(self._state.step, batch, len(trained))
                ):
                    self._move(probe, generator)
            self._end_epoch(epoch, bound, len(tensors[0]), judged)
            if judged is not None and schedule.best([row["heldout"] for row in self.history_]) == epoch:
                best = self._state
            if self._stands_still():
                break
        self._state = self._state if judged is None else best
        return self

    def partial_fit(self, songs: Songs, y: object = None, *, corpus_songs: int | None = None) -> "HDPGMM":
        """One step on one mini-batch. The first call starts the model from its songs: whitening and components.

        corpus_songs: how many songs the corpus has, which the batch stands for; default: the songs seen so far.
        """
        values, offsets = _ragged(songs, self.n_features_in_ if self._learned else None)
        n_songs = len(offsets) - 1
        if not n_songs or (self._learned is None and not len(values)):
            raise ValueError("songs: a batch needs at least one song, and the first one at least one frame")
        if self._learned is None:
            self._begin(values, offsets)
        tensors = self._tensors(values, offsets)
        self._songs_seen += n_songs
        total = corpus_songs or self._songs_seen
        self._state, _ = training.learn(self._state, *tensors, total, self._settings)
        first = corpus_songs or schedule.FIRST_MOVES
        if self._settings.moves and schedule.moves_between(
            self._songs_seen - n_songs, self._songs_seen, first
        ):
            self._move(Probe(*tensors, total), torch.Generator().manual_seed(self.seed + self._state.step))
        return self

    def transform(self, songs: Songs, kind: Kind = "posterior") -> np.ndarray:
        """Song vectors (song, n_components_) float32, or (song, 2 * n_components_ * n_features) for "fisher".

        "posterior": mean over frames of the components' probabilities under a flat prior (the paper's).
        "soft": the same with the evidence of one feature in place of a whole frame's: what music is told apart by best.
        "responsibility": mean over frames of those under the song's own weights. "expected": E[weight in the song].
        "fisher": how frames differ from each component, by nearly one-hot responsibilities: of real music it tells
        a probe less than plain means and deviations do, and "soft" more.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, found {kind!r}")
        tensors, model, options = (
            self._tensors(*_ragged(songs, self.n_features_in_)),
            prepare(self._state),
            self._settings.options,
        )
        if kind == "fisher":
            return represent.fisher(model, self._state, *tensors, options).cpu().numpy()
        return getattr(represent.represent(model, *tensors, options), kind).cpu().numpy()

    def fit_transform(self, songs: Songs, y: object = None) -> np.ndarray:
        """fit, then transform."""
        return self.fit(songs).transform(songs)

    def score(self, songs: Songs, y: object = None) -> float:
        """Document completion, nats a frame in the features' own units: a song's even frames predict its odd ones.

        nan where no song has two frames.
        """
        return self._completion(*self._tensors(*_ragged(songs, self.n_features_in_)))

    def sample(self, n_songs: int = 1, n_frames: int = 1000) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Songs drawn from the model with its expected parameters: frames (n_frames, D), and the component of each."""
        rng = np.random.default_rng(self.seed)
        beta = corpus_weights(self._state.stats.atoms, self._state.gamma)[1].cpu().numpy()
        factors = _factors(self.covariances_)
        songs, labels = [], []
        for _ in range(n_songs):
            sticks = rng.beta(1.0, self._state.alpha0, size=100 * self.n_atoms)
            weights = sticks * np.concatenate([[1.0], np.cumprod(1.0 - sticks)[:-1]])
            comps = rng.choice(len(beta), size=len(weights), p=beta / beta.sum())
            label = comps[rng.choice(len(weights), size=n_frames, p=weights / weights.sum())]
            noise = np.einsum("nij,nj->ni", factors[label], rng.normal(size=(n_frames, self.n_features_in_)))
            songs.append(self.means_[label] + noise)
            labels.append(label)
        return songs, labels

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors and model.json into a folder, made where it is missing."""
        from safetensors.numpy import save_file

        arrays, folder = to_arrays(self._state, self._whitening), Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            folder / "model.safetensors",
        )
        record = {
            "format": FORMAT,
            "n_atoms": self._settings.n_atoms,
            "seed": self.seed,
            "songs_seen": self._songs_seen,
            "history": self.history_,
            "moves": [asdict(move) for move in self.moves_],
        }
        (folder / "model.json").write_text(json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "HDPGMM":
        """The model that `save` wrote. Raises ValueError naming what is wrong with a file that is not such a model."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            record = json.loads((folder / "model.json").read_text())
            arrays = load_file(folder / "model.safetensors")
        except (json.JSONDecodeError, SafetensorError) as error:
            raise ValueError(f"{folder}: not a saved HDPGMM: {error}") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ValueError(f"{folder / 'model.json'}: expected format {FORMAT}")
        state, transform = from_arrays(arrays, device)
        try:
            model = cls(
                state.n_components,
                record["n_atoms"],
                covariance_type="diag" if state.prior.diagonal else "full",
                song_level="direct" if state.prior.direct else "sticks",
                seed=record["seed"],
                device=device,
            )
            model.history_, model._songs_seen = record["history"], record["songs_seen"]
            model.moves_ = [Move(m["kind"], tuple(m["components"]), m["gain"]) for m in record["moves"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / 'model.json'}: not a record of this format ({error!r})") from None
        model._settings, model._state, model._whitening = model._resolved(), state, transform
        return model

    @property
    def n_features_in_(self) -> int:
        return self._state.prior.dim

    @property
    def n_components_(self) -> int:
        return self._state.n_components

    @property
    def weights_(self) -> np.ndarray:
        """(K,) share of the corpus' frames."""
        return (self._state.stats.count / self._state.stats.count.sum()).cpu().numpy()

    @property
    def means_(self) -> np.ndarray:
        """(K, D) posterior means."""
        return self._whitening.mean_in_units(self._posterior().mean.cpu().numpy())

    @property
    def covariances_(self) -> np.ndarray:
        """(K, D, D) expected covariances, (K, D) variances with covariance_type="diag"."""
        covariance = family(self._state.prior).expected_covariance(self._posterior()).cpu().numpy()
        return self._whitening.covariance_in_units(covariance)

    @property
    def degrees_of_freedom_(self) -> np.ndarray:
        """(K,) of each component's Wishart."""
        return self._posterior().dof.cpu().numpy()

    @property
    def concentrations_(self) -> dict[str, float]:
        """gamma and alpha0 as learned."""
        return {"gamma": self._state.gamma, "alpha0": self._state.alpha0}

    @property
    def prior_(self) -> dict[str, float]:
        """Of whitened frames: strength and dof of the components' prior and its scale (W^-1 = scale I), as learned.

        dependence: how many frames counted for one.
        """
        prior = self._state.prior
        scale = float(prior.scale_inv.flatten()[0])
        return {
            "strength": prior.strength, "dof": prior.dof, "scale": scale, "dependence": prior.dependence
        }  # fmt: skip

    @property
    def _state(self) -> State:
        """AttributeError before fit, as scikit-learn's fitted attributes."""
        if self._learned is None:
            raise AttributeError("this HDPGMM is not fitted yet; call fit or partial_fit first")
        return self._learned

    @_state.setter
    def _state(self, state: State) -> None:
        self._learned = state

    def _resolved(self) -> training.Settings:
        for name in ("n_components", "n_atoms", "batch_songs", "max_epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, found {value}")
        if self.covariance_type not in ("full", "diag"):
            raise ValueError(f'covariance_type must be "full" or "diag", found {self.covariance_type!r}')
        if self.song_level not in ("direct", "sticks"):
            raise ValueError(f'song_level must be "direct" or "sticks", found {self.song_level!r}')
        if self.settings is not None:
            return self.settings
        gamma, alpha0 = (
            Concentration() if c is None else Concentration(c, False) for c in (self.gamma, self.alpha0)
        )
        return training.Settings(
            n_components=self.n_components,
            n_atoms=self.n_atoms,
            diagonal=self.covariance_type == "diag",
            direct=self.song_level == "direct",
            gamma=gamma,
            alpha0=alpha0,
        )

    def _posterior(self) -> NormalWishart | NormalGamma:
        return family(self._state.prior).posterior(self._state.prior, self._state.stats)

    def _heldout(self, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Places of the songs held out: of those with two frames, since even frames predict odd ones."""
        judged = np.flatnonzero(lengths >= 2)
        few = not self.early_stopping or len(judged) < FEWEST_FOR_HELDOUT
        most = 0 if few else min(HELDOUT_SONGS, max(1, round(HELDOUT_SHARE * len(judged))))
        return np.sort(rng.permutation(judged)[:most])

    def _begin(self, values: np.ndarray, offsets: np.ndarray) -> None:
        """Whitening and first components from these songs."""
        settings = self._resolved()
        _check_spread(values)
        total = _moments(values)
        transform = standardising(total) if settings.diagonal else whitening(total)
        generator = torch.Generator().manual_seed(self.seed)
        wanted = training.SAMPLE_FRAMES * settings.n_components
        chosen = torch.randperm(len(values), generator=generator)[:wanted].sort().values.numpy()
        sample = torch.from_numpy(transform(values[chosen])).to(self.device)
        found = dependence(lagged(*_some_songs(values, offsets)), transform.transform)
        state = training.start(settings, sample, len(values), len(offsets) - 1, generator, found)
        self._settings, self._whitening, self._state = settings, transform, state
        self.history_: list[dict[str, Any]] = []
        self.moves_: list[Move] = []
        self._songs_seen = 0

    def _tensors(
        self, values: np.ndarray, offsets: np.ndarray, names: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor]:
        """Whitened. names: the songs' places among those that the user gave, where they are not all of them."""
        names = np.arange(len(offsets) - 1) if names is None else names
        parts = [self._whitened(values, offsets, start, names) for start in range(0, len(values), _AT_ONCE)]
        whitened = np.concatenate(parts) if parts else np.empty((0, self.n_features_in_), np.float32)
        return torch.from_numpy(whitened).to(self.device), torch.from_numpy(offsets)

    def _whitened(self, values: np.ndarray, offsets: np.ndarray, start: int, names: np.ndarray) -> np.ndarray:
        """Frames from `start` on. Raises ValueError for one so far from the songs fitted that its squares overflow."""
        block = values[start : start + _AT_ONCE]
        with np.errstate(over="ignore"):
            whitened = self._whitening(block)
        near = (np.abs(whitened) <= FARTHEST).all(axis=1)
        if not near.all():
            frame = int(np.argmin(near))
            mean, transform = self._whitening.mean, self._whitening.transform
            feature = int(np.argmax(np.abs(block[frame] - mean) * np.abs(transform).max(axis=1)))
            raise ValueError(
                f"{_place(offsets, start + frame, names)}, feature {feature}: frames must lie within {FARTHEST:g} "
                f"standard deviations of the mean of the songs fitted, found {float(block[frame, feature]):g} "
                f"where the mean is {mean[feature]:g}"
            )
        return whitened

    def _probe(self, values: Tensor, offsets: Tensor, rng: np.random.Generator) -> Probe:
        n_songs = len(offsets) - 1
        chosen = np.sort(rng.permutation(n_songs)[: self._settings.probe_songs])
        return Probe(*_take(values, offsets, chosen), n_songs)

    def _move(self, probe: Probe, generator: torch.Generator) -> None:
        self._state, made = training.improve(self._state, probe, self._settings, generator)
        self.moves_ += made

    def _end_epoch(self, epoch: int, songs_bound: float, n_frames: int, judged: Ragged | None) -> None:
        row = {
            "epoch": epoch,
            "bound": (songs_bound + corpus_bound(self._state)) / n_frames + self._whitening.log_det,
            "heldout": None if judged is None else self._completion(*judged),
            "components": self.n_components_,
            **self.concentrations_,
        }
        self.history_.append(row)
        if self.callback is not None:
            self.callback(row)

    def _stands_still(self) -> bool:
        scores = [row["bound"] if row["heldout"] is None else row["heldout"] for row in self.history_]
        return self.early_stopping and schedule.plateau(scores)

    def _completion(self, values: Tensor, offsets: Tensor) -> float:
        total, frames = completion(prepare(self._state), values, offsets, self._settings.options)
        return total / frames + self._whitening.log_det if frames else float("nan")


def _some_songs(values: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Songs from all over the corpus, of about DEPENDENCE_FRAMES together."""
    apart = max(1, len(values) // DEPENDENCE_FRAMES)
    return _take(values, offsets, np.arange(0, len(offsets) - 1, apart))


def _ragged(songs: Songs, n_features: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """values (frame, feature) and offsets (song + 1,) int64, checked."""
    if isinstance(songs, tuple) and len(songs) == 2 and np.ndim(songs[1]) == 1 and np.ndim(songs[0]) == 2:
        values, offsets = np.asarray(songs[0]), np.asarray(songs[1])
        rising = offsets.dtype.kind in "iu" and len(offsets) > 0 and not np.any(offsets[1:] < offsets[:-1])
        if not rising or offsets[0] != 0 or offsets[-1] != len(values):
            raise ValueError(
                f"offsets: expected whole numbers 0, ..., {len(values)}, never falling, found {offsets}"
            )
    else:
        arrays = [np.asarray(song) for song in songs]
        for i, array in enumerate(arrays):
            if array.ndim != 2:
                raise ValueError(f"song {i}: expected shape (n_frames, n_features), found {array.shape}")
            if array.shape[1] != arrays[0].shape[1]:
                raise ValueError(
                    f"song {i}: expected {arrays[0].shape[1]} features as song 0 has, found {array.shape[1]}"
                )
        values = np.concatenate(arrays) if arrays else np.empty((0, n_features or 0))
        offsets = np.cumsum([0, *map(len, arrays)])
    offsets = offsets.astype(np.int64)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"songs: expected real numbers, found dtype {values.dtype}")
    if n_features is not None and values.shape[1] != n_features:
        raise ValueError(f"songs: the model has {n_features} features, found {values.shape[1]}")
    for start in range(0, len(values), _AT_ONCE):
        _check_range(values[start : start + _AT_ONCE], offsets, start)
    return values, offsets


def _check_range(block: np.ndarray, offsets: np.ndarray, start: int) -> None:
    """Frames from `start` on: all within LARGEST, which what is not finite is not either."""
    with np.errstate(over="ignore"):
        inside = np.abs(block.astype(np.float64)) <= LARGEST
    if inside.all():
        return
    frame, feature = np.argwhere(~inside)[0]
    place, value = _place(offsets, start + frame, np.arange(len(offsets) - 1)), float(block[frame, feature])
    if not np.isfinite(value):
        raise ValueError(f"{place}: values must be finite, found {value} in feature {feature}")
    raise ValueError(f"{place}, feature {feature}: values must lie within ±{LARGEST:g}, found {value:g}")


def _check_spread(values: np.ndarray) -> None:
    """Features may be constant, all of them too; but where they vary, one of them has to have a variance in float64."""
    spread = values.max(axis=0).astype(np.float64) - values.min(axis=0).astype(np.float64)
    if 0.0 < spread.max(initial=0.0) < SMALLEST:
        feature = int(spread.argmax())
        raise ValueError(
            f"feature {feature}: the feature that varies most must vary by {SMALLEST:g} at least, "
            f"found {spread[feature]:g} between its smallest and largest value"
        )


def _place(offsets: np.ndarray, frame: int, names: np.ndarray) -> str:
    """A frame as the user finds it: its song's name, and where it is in the song."""
    song = int(np.searchsorted(offsets, frame, side="right")) - 1
    return f"song {names[song]}, frame {frame - offsets[song]}"


def _take(values: Any, offsets: Any, index: np.ndarray) -> tuple[Any, Any]:
    """The songs at `index`, in that order, of numpy arrays or tensors."""
    bounds = np.asarray(offsets)
    lengths = np.diff(bounds)[index]
    new = np.concatenate([[0], np.cumsum(lengths)])
    frames = np.arange(new[-1]) + np.repeat(bounds[:-1][index] - new[:-1], lengths)
    if isinstance(values, Tensor):
        return values[torch.from_numpy(frames).to(values.device)], torch.from_numpy(new)
    return values[frames], new


def _moments(values: np.ndarray) -> Moments:
    parts = [moments(values[start : start + _AT_ONCE]) for start in range(0, len(values), _AT_ONCE)]
    return functools.reduce(operator.add, parts)


def _factors(covariances: np.ndarray) -> np.ndarray:
    """Lower triangular square roots, (K, D, D)."""
    if covariances.ndim == 2:
        return np.sqrt(covariances)[:, :, None] * np.eye(covariances.shape[1])
    return np.linalg.cholesky(covariances)
