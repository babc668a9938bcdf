"""HDPGMM in memory, with scikit-learn's conventions: fit, transform, score. Torch and numpy alone, no Ray."""

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hdpgmm import schedule, training_step
from hdpgmm.components.normal_gamma import NormalGamma
from hdpgmm.components.normal_wishart import NormalWishart
from hdpgmm.components.prior import Concentration
from hdpgmm.data.whitening import Whitening
from hdpgmm.fit import EpochEnd, Event, Moves, Progress, Rules, Step, fit
from hdpgmm.kinds import KINDS
from hdpgmm.kinds.kind import Batch
from hdpgmm.memory import MemoryKeeper, MemorySongs, first_state, group_bounds, heldout_songs, members
from hdpgmm.model.expectations import corpus_weights, prepare
from hdpgmm.model.state import State, family
from hdpgmm.moves.merge_delete import Move, Probe
from hdpgmm.ragged import Ragged
from hdpgmm.score import completion_per_frame
from hdpgmm.serialization import from_arrays, to_arrays
from hdpgmm.validation import AT_ONCE, Songs, checked, whitened

FORMAT = 2


class HDPGMM:
    """Hierarchical Dirichlet process Gaussian mixture model of songs, each a bag of frames.

    n_components: components at the start, None for what the corpus can tell apart (at most 256, by
    `hdpgmm.schedule.first_components`); training merges, deletes and adds them. n_atoms: components one song may use.
    covariance_type: "full" or "diag". song_level: "direct" integrates a song's atoms out, "sticks" is the paper's form.
    gamma, alpha0: None learns the concentration, a number fixes it. batch_songs: songs of a mini-batch, None for an
    eighth of the corpus within 16..1024. max_epochs: passes over the songs at most; training stops when the score of
    songs held out (a twentieth of those with two frames; the bound, of under 20) has converged, unless early_stopping
    is False. settings: everything that is learned with, instead of the arguments before. seed: of every random choice.
    device: "cpu" or "cuda". callback: called after each epoch with its row of history_.

    A feature that is the same in all frames fitted does no harm: it counts as one of unit variance about that value.

    After fit, in the features' own units: weights_ (K,), means_ (K, D), covariances_ (K, D, D) or, with "diag", (K, D),
    degrees_of_freedom_ (K,), n_components_, n_features_in_, history_ (of each epoch the fields of
    `hdpgmm.schedule.Epoch`), moves_ (merges, deletions, births).

    >>> from hdpgmm import HDPGMM
    >>> rng = np.random.default_rng(0)
    >>> songs = [rng.normal(size=(200, 2)) + 9 * rng.integers(0, 2, size=(200, 1)) for _ in range(30)]
    >>> model = HDPGMM(n_components=8).fit(songs)
    >>> model.n_components_, model.transform(songs).shape
    (2, (30, 2))
    """

    def __init__(
        self,
        n_components: int | None = None,
        n_atoms: int = 32,
        *,
        covariance_type: Literal["full", "diag"] = "full",
        song_level: Literal["direct", "sticks"] = "direct",
        gamma: float | None = None,
        alpha0: float | None = None,
        batch_songs: int | None = None,
        max_epochs: int = 20,
        early_stopping: bool = True,
        settings: training_step.Settings | None = None,
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

    def fit(self, songs: Songs, y: object = None, groups: ArrayLike | None = None) -> "HDPGMM":
        """Learn from songs: a sequence of (n_frames, n_features) arrays, or (values, offsets) of all of them.

        groups: (song,) whose songs are whose (artists, albums), as scikit-learn's splitters take it. A component then
        has to be worth its place to others than one or two of them; without, to others than one or two songs.

        With early stopping and songs enough to hold some out, the model is that of the last epoch near the best score.
        Raises ValueError where a song has another number of features, or a value that is not finite or beyond 1e100.
        ArithmeticError where a step twice ends in numbers that are not finite. A fit that is interrupted
        (KeyboardInterrupt) leaves the model of its last step, ready for use.
        """
        given, settings = checked(songs), self._resolved()
        if not len(given.values):
            raise ValueError("songs: expected at least one song with at least one frame, found none")
        lengths = given.lengths
        heldout = heldout_songs(lengths, self.seed) if self.early_stopping else np.zeros(len(given), bool)
        corpus = MemorySongs(given, heldout, settings, self.seed, self.device, _numbers(groups, len(given)))
        self._begin(settings, corpus.whitening, corpus.state)
        self._songs_seen = corpus.n_songs
        batch_songs = self.batch_songs or schedule.batch_songs(corpus.n_songs)
        rules = Rules(settings, self.max_epochs, batch_songs, self.seed, self.early_stopping, True)
        begin = Progress(corpus.state)
        keeper = MemoryKeeper(begin)
        for event in fit(begin, corpus, rules, keeper):
            self._follow(event)
        self._state = keeper.best.state
        return self

    def _follow(self, event: Event) -> None:
        """Take over what the loop has come to."""
        if isinstance(event, Step | Moves):
            self._state = event.progress.state
        if isinstance(event, Moves):
            self.moves_ += event.moves
        if isinstance(event, EpochEnd):
            row = asdict(event.progress.history[-1])
            self.history_.append(row)
            if self.callback is not None:
                self.callback(row)

    def partial_fit(self, songs: Songs, y: object = None, *, corpus_songs: int | None = None) -> "HDPGMM":
        """One step on one mini-batch. The first call starts the model from its songs: whitening and components.

        corpus_songs: how many songs the corpus has, which the batch stands for; default: the songs seen so far.
        """
        given = checked(songs, self.n_features_in_ if self._learned else None)
        if not len(given) or (self._learned is None and not len(given.values)):
            raise ValueError("songs: a batch needs at least one song, and the first one at least one frame")
        if self._learned is None:
            settings = self._resolved()
            groups = members(group_bounds(given.lengths), np.arange(len(given)))
            state, whitening = first_state(given, groups, settings, self.seed, self.device)
            self._begin(settings, whitening, state)
        batch = self._whitened(given)
        self._songs_seen += len(given)
        total = corpus_songs or self._songs_seen
        self._state, _ = training_step.learn(self._state, batch, total, self._settings)
        first = corpus_songs or schedule.FIRST_MOVES
        if self._settings.moves and schedule.moves_between(
            self._songs_seen - len(given), self._songs_seen, first
        ):
            generator = torch.Generator().manual_seed(self.seed + self._state.step)
            probe = Probe(batch, total)
            self._state, made, _ = training_step.improve(self._state, probe, self._settings, generator)
            self.moves_ += made
        return self

    def transform(self, songs: Songs, kind: str = "posterior") -> np.ndarray:
        """Song vectors (song, n_components_) float32, or (song, 2 * n_components_ * n_features) for "fisher".

        kind: a name of `hdpgmm.kinds.KINDS`, which says what each means; ValueError for another one. Among them
        "posterior": mean over frames of the components' probabilities under a flat prior (the paper's).
        "soft": the same with the evidence of three features in place of a whole frame's, which repeat each other.
        "responsibility": mean over frames of those under the song's own weights. "expected": E[weight in the song].
        "fisher": how frames differ from each component, by responsibilities of which three features' evidence is one
        frame's; of length one.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, found {kind!r}")
        given = self._whitened(checked(songs, self.n_features_in_))
        batch = Batch(prepare(self._state), self._state, given, self._settings.options)
        return KINDS[kind].compute(batch).cpu().numpy()

    def fit_transform(self, songs: Songs, y: object = None) -> np.ndarray:
        """fit, then transform."""
        return self.fit(songs).transform(songs)

    def score(self, songs: Songs, y: object = None) -> float:
        """Document completion, nats a frame in the features' own units: a song's even frames predict its odd ones.

        nan where no song has two frames.
        """
        given, log_det = self._whitened(checked(songs, self.n_features_in_)), self._whitening.log_det
        found = completion_per_frame(prepare(self._state), given, self._settings.options, log_det)
        return float("nan") if found is None else found

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

    def _resolved(self) -> training_step.Settings:
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
        return training_step.Settings(
            n_components=self.n_components,
            n_atoms=self.n_atoms,
            diagonal=self.covariance_type == "diag",
            direct=self.song_level == "direct",
            gamma=gamma,
            alpha0=alpha0,
        )

    def _posterior(self) -> NormalWishart | NormalGamma:
        return family(self._state.prior).posterior(self._state.prior, self._state.stats)

    def _begin(self, settings: training_step.Settings, whitening: Whitening, state: State) -> None:
        self._settings, self._whitening, self._state = settings, whitening, state
        self.history_: list[dict[str, Any]] = []
        self.moves_: list[Move] = []
        self._songs_seen = 0

    def _whitened(self, songs: Ragged[np.ndarray]) -> Ragged[Tensor]:
        bounds = [*range(0, len(songs.values), AT_ONCE), len(songs.values)]
        values = torch.from_numpy(whitened(self._whitening, songs, bounds))
        return Ragged(values.to(self.device), torch.from_numpy(songs.offsets))


def _numbers(groups: ArrayLike | None, n_songs: int) -> np.ndarray | None:
    """0, 1, ... of the groups, int64 (song,)."""
    if groups is None:
        return None
    given = np.asarray(groups)
    if given.shape != (n_songs,):
        raise ValueError(f"groups must have one entry for each of {n_songs} songs, found shape {given.shape}")
    return np.unique(given, return_inverse=True)[1]


def _factors(covariances: np.ndarray) -> np.ndarray:
    """Lower triangular square roots, (K, D, D)."""
    if covariances.ndim == 2:
        return np.sqrt(covariances)[:, :, None] * np.eye(covariances.shape[1])
    return np.linalg.cholesky(covariances)
