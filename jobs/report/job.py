"""`python -m jobs.report`: pages about a model: what it found, what it knows, how it learnt, from what."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evaluation.interpretation.segments import choose_segments
from evaluation.interpretation.sound import Gaussians
from evaluation.interpretation.tally import usage
from evaluation.report.pages import INDEX, inputs_of, render
from evaluation.report.records import Component, Epoch, Report, Song
from infra.config import Config
from infra.errors import StorageError
from infra.root import layout, models
from infra.root.journal import NOTHING, Fence, make_visible, replace_files
from infra.root.runs import RunFolder, now
from infra.root.schemas import DURATION, TRACK_ID, group_name, groups_by_track
from infra.storage.store import Store
from jobs.evaluate.inputs import Inputs, align, find_inputs
from jobs.evaluate.job import read_differences, read_summary
from jobs.evaluate.labels import Labels, read_labels
from jobs.interpret.tables import held_labels, songs_with_labels
from jobs.report.audio import cut_sounds
from jobs.report.components import make_components, shown_components
from jobs.report.corpus import describe_corpus, read_sources
from jobs.report.counts import count_groups, count_songs, similar_songs, songs_to_search
from jobs.report.departures import find_departures
from jobs.report.frames import Request, summarise_frames
from jobs.report.songs import SIMILAR, make_songs, sample_songs, strata_of
from jobs.report.sound import sounds_of
from jobs.represent.kinds import recommended_row
from jobs.represent.model import component_gaussians, gaussians_in_units, load_model
from jobs.similar.job import searched
from jobs.similar.left_out import LeftOut
from jobs.sweep.studies import find_studies, read_study

CODE = (  # what makes the pages: by other code they are made again
    *("evaluation.report", "evaluation.figures", "evaluation.interpretation", "evaluation.neighbours"),
    *("evaluation.probing.metrics", "evaluation.recommendation.recommend"),
    *("jobs.report", "jobs.interpret", "jobs.evaluate", "jobs.represent.model", "jobs.represent.kinds"),
    *("hdpgmm.kinds", "jobs.similar.left_out"),
)
log = logging.getLogger(__name__)

PATH = layout.report(INDEX)
_FOLDERS = ("audio/", "component/", "song/", "study/")  # below the report, whose files come and go
SEARCHED_SONGS = 5  # songs searched for a component's segments; the local step of long songs costs
MIN_SHARE = 0.003  # of a component in a song, below which its segments are not representative


@dataclass(frozen=True)
class Reported:
    """Where the first page is, the model it is about, and whether this call made it."""

    uri: str
    model: str
    made: bool


def run(config: Config, model: str | None = None) -> Reported:
    """Make the pages, unless those that are there are about the same model, scores and settings.

    Raises Incomplete while another run makes them.
    """
    store = Store(config.root)
    inputs = find_inputs(store, config.corpus, model)
    uri, name = store.uri(PATH), inputs.model
    if _is_made(store, _key(config, inputs)):
        log.info("report: %s is up to date, nothing to do", uri)
        return Reported(uri, name, False)
    with RunFolder(store, layout.run(layout.REPORT), "the report") as folder:
        folder.begin(config.model_dump(mode="json"))
        inputs = find_inputs(store, config.corpus, name)  # as it is now that nobody else is at it
        files, size = write(store, build(config, inputs, _key(config, inputs)), folder.lease.fence)
        folder.summary({"model": name, "files": files, "bytes": size})
    log.info("report: %d files, %.1f MB", files, size / 1e6)
    log.info("report: %s", uri)
    return Reported(uri, name, True)


def _key(config: Config, inputs: Inputs) -> str:
    """Changes with anything that the pages show."""
    scored = read_summary(inputs.store, layout.scores(inputs.model, layout.SUMMARY))
    settings = {
        "report": config.report.model_dump(mode="json"),
        "interpret": config.interpret.model_dump(mode="json"),
        "similar": [config.similar.kind, config.similar.same_group],
        "scores": scored[2] if scored else None,
        "studies": [(study.folder, study.digest) for study in find_studies(inputs.store, config.corpus)],
    }
    return inputs.digest(settings, code=CODE)


def _is_made(store: Store, key: str) -> bool:
    """Whether the pages are of these inputs, and all there: an older run may have been about to delete some names."""
    if not store.exists(PATH) or inputs_of(store.read(PATH)) != key:
        return False
    try:
        names = json.loads(store.read(layout.report_files()))["files"]
    except FileNotFoundError:
        return False
    return set(names) <= set(_numbered(store))


def write(store: Store, report: Report, fence: Fence | None = None) -> tuple[int, int]:
    """Replace all files, index.html last; then delete those of a report before. How many files and bytes there are.

    An interrupted run leaves the old first page, which says that it has to be made again, or the new one; what it did
    not delete nobody links to, and the next report deletes it.
    """
    sizes: dict[str, int] = {}

    def files() -> Iterator[tuple[str, bytes]]:
        for path, content in render(report):
            if path == INDEX:
                numbered = [name for name in sizes if name.startswith(_FOLDERS)]
                yield layout.report_files(), json.dumps({"files": numbered}).encode()
            sizes[path] = len(content)
            yield layout.report(path), content

    replace_files(store, files(), fence)
    old = [name for name in _numbered(store) if name not in sizes]
    if old:
        make_visible(store, NOTHING, fence)  # raises where another run has begun
        store.delete_many(layout.report(name) for name in old)
    return len(sizes), sum(sizes.values())


def _numbered(store: Store) -> list[str]:
    return [f"{folder}{name}" for folder in _FOLDERS for name in store.names(layout.report(folder))]


def build(config: Config, inputs: Inputs, key: str) -> Report:
    """Everything the pages show."""
    labels, sources = read_labels(inputs.tracks), read_sources(inputs)
    summaries, notes, _ = read_summary(inputs.store, layout.scores(inputs.model, layout.SUMMARY)) or (
        [],
        [],
        "",
    )
    shares, components, songs = describe_model(config, inputs, labels, sources)
    return Report(
        model=inputs.model,
        made=now()[:16].replace("T", " "),
        inputs=key,
        corpus=describe_corpus(inputs, labels, sources),
        epochs=read_history(inputs.store, inputs.model),
        summaries=tuple(summaries),
        recommended=recommended_row({row.representation for row in summaries if row.ours}),
        differences=tuple(read_differences(inputs.store, inputs.model)),
        notes=tuple(notes),
        usage=shares,
        components=components,
        songs=songs,
        studies=tuple(read_study(inputs.store, study) for study in find_studies(inputs.store, config.corpus)),
        group="" if config.similar.same_group else group_name(inputs.tracks),
        trained_in=models.choose(inputs.store, inputs.model).origin.get("root", ""),
    )


def describe_model(
    config: Config, inputs: Inputs, labels: Labels, sources: pa.Table
) -> tuple[np.ndarray, tuple[Component, ...], tuple[Song, ...]]:
    """Usage (component,), the components and the songs with pages: passes over vectors and over some frames."""
    spec, report = inputs.specification, config.report
    model = load_model(inputs.store, inputs.model)
    groups = groups_by_track(inputs.tracks)
    sample = sample_songs(sorted(align(inputs)[0]), strata_of(labels, groups), report.songs, report.seed)
    counts = count_songs(inputs, labels, sample, groups.keys(), searched(inputs, config.similar))
    shown = shown_components(counts.songs, report.components)
    places = tuple(songs_to_search(counts, k, groups, SEARCHED_SONGS, MIN_SHARE) for k in shown)
    request = Request(shown, places, frozenset(sample))
    found = summarise_frames(inputs, model, request, spec, report)
    chosen = [choose_segments(windows, groups, report.segments) for windows in found.windows]
    windows = [window for some in chosen for window in some]
    sounds = cut_sounds(inputs, windows, sample, report.song_seconds, spec)
    grouped = count_groups(inputs, labels, groups, shown)
    components = make_components(
        shown, counts.songs, grouped, labels,
        sounds_of(spec, Gaussians(*gaussians_in_units(inputs.store, inputs.model)), usage(counts.songs), shown),
        _held(inputs, labels, shown, config),
        chosen, sounds.windows,
        component_gaussians(inputs.store, inputs.model), {track: counts.shares[track] for track in sample},
        report.labels, config.interpret.min_songs,
    )  # fmt: skip
    songs = make_songs(
        sample, counts, shown, found.steps, sounds.songs,
        similar_songs(inputs, counts, SIMILAR, LeftOut(inputs.tracks, config.similar.same_group)), labels,
        dict(zip(sources[TRACK_ID].to_pylist(), sources[DURATION].to_pylist(), strict=True)),
        find_departures(inputs, model, sample),
    )  # fmt: skip
    return usage(counts.songs), components, songs


def _held(inputs: Inputs, labels: Labels, shown: Sequence[int], config: Config) -> np.ndarray:
    """bool (label, component shown): which labels hold on other songs, by the check of `jobs.interpret`."""
    songs = songs_with_labels(inputs, labels, config.interpret)
    return held_labels(songs, songs.tempered[:, list(shown)], config.interpret)


def read_history(store: Store, model: str) -> tuple[Epoch, ...]:
    """The epochs of the training run, () where it left no history."""
    path = layout.history(model)
    try:
        rows = json.loads(store.read(path))
        step = models.choose(store, model).step
        return tuple(
            Epoch(row["epoch"], row["bound"], row["heldout"], row["components"], row["step"] == step)
            for row in rows
        )
    except FileNotFoundError:
        return ()
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise StorageError(f"{store.uri(path)}: not a training history ({error!r})") from error


def plan_text(config: Config, model: str | None = None) -> str:
    """What --dry-run prints."""
    inputs = find_inputs(Store(config.root), config.corpus, model)
    return f"report: {inputs.store.uri(PATH)} about model {inputs.model}, {inputs.vectors.n_songs} songs"
