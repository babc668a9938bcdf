"""What `jobs.interpret` counts: labels of components, their check on other songs, and what classes are made of."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.interpretation.association import Association, npmi, permutation_p
from evaluation.interpretation.coherence import Named, halves, holding, name_and_check, shuffled
from evaluation.interpretation.lift import group_codes, group_sums, label_lift, lift_interval
from evaluation.interpretation.tally import carriers, tally
from evaluation.probing.logistic import fit_path
from evaluation.probing.probe import DEFAULT_C
from evaluation.probing.tasks import Task
from features.spec import columns
from infra.config import Config, InterpretConfig
from infra.errors import ConfigError
from infra.root.schemas import N_FRAMES, TRACK_ID, groups_by_track
from jobs.evaluate.inputs import Inputs, align, make_tasks
from jobs.evaluate.labels import Labels
from jobs.evaluate.vectors import as_matrix, baseline_shares, vector_tables
from jobs.represent.kinds import SEARCHED, SHARES, TEMPERED_SQRT
from jobs.represent.model import gaussians_in_units

BLOCK = 32  # components whose sums over labels and groups are in memory at once


@dataclass(frozen=True)
class Songs:
    """What is looked at: shares (song, component), labels bool (label, song), groups int (song,) or None.

    shares: of a song's frames. tempered: the same with tempered responsibilities, which say of every component how near
    the song comes to it: what labels are tested by.
    """

    ids: tuple[str, ...]
    shares: np.ndarray
    tempered: np.ndarray
    n_frames: np.ndarray
    members: np.ndarray
    groups: np.ndarray | None


@dataclass(frozen=True)
class Checked:
    """The most used units of one kind: their names, and the labels that hold for them, bool (label, unit); those of
    the same units with songs shuffled.
    """

    kind: str
    units: np.ndarray
    own: Named
    chance: Named
    held: np.ndarray
    held_by_chance: np.ndarray

    def row(self) -> dict[str, Any]:
        """For people and for summary.json."""
        return {
            "units": self.kind,
            "checked": len(self.units),
            "names_hold": int(self.held.any(axis=0).sum()),
            "names_hold_shuffled": int(self.held_by_chance.any(axis=0).sum()),
            "auroc": self.own.mean_auroc,
            "auroc_shuffled": self.chance.mean_auroc,
            "coherence": self.own.coherence,
            "coherence_shuffled": self.chance.coherence,
            "diversity": self.own.diversity,
        }


def gather(inputs: Inputs, labels: Labels, config: InterpretConfig) -> Songs:
    """`songs_with_labels`. Raises ConfigError where no label has songs enough."""
    songs = songs_with_labels(inputs, labels, config)
    members = songs.members
    if not ((members.sum(1) >= config.min_songs) & (members.sum(1) < len(songs.ids))).any():
        raise ConfigError(
            f"corpus {inputs.corpus!r}: no label has {config.min_songs} songs with vectors, so components cannot be "
            "named; give a label file to jobs.index, or set interpret.min_songs"
        )
    return songs


def songs_with_labels(inputs: Inputs, labels: Labels, config: InterpretConfig) -> Songs:
    """Shares and labels of the songs looked at; songs that no label file speaks of are left out."""
    living = align(inputs)[0] & {track for track, places in labels.of.items() if places}
    chosen = set(sorted(living, key=lambda t: _hash(f"{config.seed} {t}"))[: config.songs])
    ids: list[str] = []
    shares, roots, frames = [], [], []
    for table in vector_tables(inputs.store, inputs.vectors, [SHARES.name, TEMPERED_SQRT.name]):
        tracks = table[TRACK_ID].to_pylist()
        kept = [i for i, track in enumerate(tracks) if track in chosen]
        ids += [tracks[i] for i in kept]
        shares.append(as_matrix(table[SHARES.name])[kept])
        roots.append(as_matrix(table[TEMPERED_SQRT.name])[kept])
        frames.append(table[N_FRAMES].to_numpy()[kept])
    members = labels.members(ids)
    order = np.argsort(np.array(ids, dtype=str))
    return Songs(
        tuple(ids[i] for i in order),
        np.concatenate(shares)[order].astype(np.float64),
        np.square(np.concatenate(roots)[order].astype(np.float64)),
        np.concatenate(frames)[order],
        members[:, order],
        _groups(inputs, [ids[i] for i in order]),
    )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _groups(inputs: Inputs, ids: Sequence[str]) -> np.ndarray | None:
    """int (song,), a song without a group is one of its own; None where no song has one."""
    of = groups_by_track(inputs.tracks)
    return group_codes([of[track] for track in ids]) if any(of.values()) else None


def associations(songs: Songs, labels: Labels, config: InterpretConfig) -> list[Association]:
    """Every component with every label that has songs enough, strongest first within a component."""
    usable = np.flatnonzero(songs.members.sum(1) >= config.min_songs)
    members = songs.members[usable]
    counted = tally(songs.shares, songs.n_frames, members)
    lift, information = label_lift(counted), npmi(counted)
    low, high = intervals(songs.shares, members, songs.groups)
    p = permutation_p(songs.tempered, members, songs.groups, config.permutations, config.seed)
    return [
        Association(k, labels.names[usable[row]], int(counted.members[row]), *map(float, (
            lift[row, k], low[row, k], high[row, k], information[row, k], p[row, k]
        )))
        for k in range(songs.shares.shape[1])
        for row in np.argsort(-information[:, k], kind="stable")
    ]  # fmt: skip


def intervals(
    shares: np.ndarray, members: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """`lift_interval` of songs in memory: shares (song, component), members (label, song), groups int (song,)."""
    codes = np.arange(len(shares)) if groups is None else groups
    n_groups = int(codes.max()) + 1
    starts = range(0, shares.shape[1], BLOCK)
    found = [
        lift_interval(group_sums(shares[:, start : start + BLOCK], members, codes, n_groups))
        for start in starts
    ]
    low, high = (np.concatenate(ends, axis=1) for ends in zip(*found, strict=True))
    return low, high


def check(config: Config, inputs: Inputs, songs: Songs) -> list[Checked]:
    """Our most used components and the most used units of comparison models, each with its shuffled counterpart."""
    first = halves(len(songs.ids), songs.groups, config.interpret.seed)
    others = baseline_shares(inputs, songs.ids, config.evaluate)
    return [
        _checked("HDPGMM", songs.shares, songs.tempered, songs, first, config.interpret),
        *(_checked(kind, own, own, songs, first, config.interpret) for kind, own in others.items()),
    ]


def _checked(
    kind: str,
    shares: np.ndarray,
    tested: np.ndarray,
    songs: Songs,
    first: np.ndarray,
    config: InterpretConfig,
) -> Checked:
    units = np.argsort(-(songs.n_frames @ shares), kind="stable")[: config.shown]
    own, chance = (
        name_and_check(part, songs.members, first, config.min_songs)
        for part in (shares[:, units], shuffled(shares[:, units], config.seed))
    )
    held, by_chance = (
        held_labels(songs, part, config)
        for part in (tested[:, units], shuffled(tested[:, units], config.seed))
    )
    return Checked(kind, units, own, chance, held, by_chance)


def held_labels(songs: Songs, shares: np.ndarray, config: InterpretConfig) -> np.ndarray:
    """bool (label, unit): which labels of songs enough hold for units of these shares (song, unit)."""
    found = np.zeros((len(songs.members), shares.shape[1]), dtype=bool)
    usable = np.flatnonzero(songs.members.sum(1) >= config.min_songs)
    if len(usable) and shares.shape[1]:
        first = halves(len(songs.ids), songs.groups, config.seed)
        found[usable] = holding(
            shares, songs.members[usable], songs.groups, first, config.permutations, config.seed
        )
    return found


def component_rows(
    config: Config, inputs: Inputs, songs: Songs, labels: Labels, checked: Checked
) -> list[dict[str, Any]]:
    """A row a component: its share, how many songs and groups carry it, its mean and spread; of those checked, the
    names that halves of the songs give, and the labels that hold.
    """
    mean, covariance = gaussians_in_units(inputs.store, inputs.model)
    spread = np.sqrt(covariance if covariance.ndim == 2 else np.diagonal(covariance, axis1=1, axis2=2))
    names = columns(inputs.specification)
    share = songs.n_frames @ songs.shares / songs.n_frames.sum()
    carried = carriers(songs.shares, songs.groups)
    place = {int(unit): row for row, unit in enumerate(checked.units)}
    rows = []
    for k in range(len(share)):
        row = place.get(k)
        rows.append({
            "component": k,
            "share": float(share[k]),
            "songs": int(carried.songs[k]),
            "groups": int(carried.groups[k]),
            "names": [] if row is None else _names(checked.own, row, labels),
            "holds": [] if row is None else [labels.names[i] for i in np.flatnonzero(checked.held[:, row])],
            "mean": dict(zip(names, mean[k].tolist(), strict=True)),
            "sd": dict(zip(names, spread[k].tolist(), strict=True)),
        })  # fmt: skip
    return rows


def few_songs_mass(songs: Songs) -> float:
    """Share of all frames of components that few songs or groups carry (`evaluation.interpretation.tally.Carriers`)."""
    mass = songs.n_frames @ songs.shares
    return float(mass[carriers(songs.shares, songs.groups).few].sum() / mass.sum())


def _names(found: Named, row: int, labels: Labels) -> list[dict[str, Any]]:
    """What each half calls a component, with its AUROC and NPMI on the other; None where that lacks the label."""

    def known(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return [
        {"label": labels.names[place], "heldout_auroc": known(auroc), "heldout_npmi": known(npmi)}
        for place, auroc, npmi in zip(found.label[row], found.auroc[row], found.npmi[row], strict=True)
        if place >= 0
    ]


def class_rows(config: Config, inputs: Inputs) -> list[dict[str, Any]]:
    """Which components make a class: the weights of a probe on standardised soft posteriors, for each label."""
    tasks, _ = make_tasks(inputs.tracks, align(inputs)[0], config.evaluate.min_count)
    found: dict[str, np.ndarray] = {}
    for table in vector_tables(inputs.store, inputs.vectors, [SEARCHED.name]):
        found.update(zip(table[TRACK_ID].to_pylist(), as_matrix(table[SEARCHED.name]), strict=True))
    rows: list[dict[str, Any]] = []
    for task in tasks:
        if task.kind != "value":
            rows += _weights(task, np.stack([found[song] for song in task.songs]).astype(np.float64))
    return rows


def _weights(task: Task, x: np.ndarray) -> list[dict[str, Any]]:
    y = task.targets if task.kind == "multi" else np.eye(len(task.classes), dtype=bool)[task.targets]
    (probe,) = fit_path(x, y, (DEFAULT_C,), exclusive=task.kind == "single")
    return [
        {"task": task.name, "class": label, "component": int(k), "weight": float(probe.weights[k, c])}
        for c, label in enumerate(task.classes)
        for k in np.argsort(-probe.weights[:, c], kind="stable")
    ]
