"""What is asked: every label and number of the track list, on folds or a published split, and what users played."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from evaluation.comparison.questions import Probed, Question, Recommended
from evaluation.probing.splits import make_splits, published_splits
from evaluation.recommendation.protocol import Protocol, Recommendation
from infra.config import Config, RecommendationConfig
from infra.datasets.plays import read_plays
from infra.datasets.splits import read_split_lists
from infra.root.schemas import TRACK_ID
from jobs.evaluate.inputs import Inputs, Notes, align, digest_of, make_tasks, published, testable


def find_questions(config: Config, inputs: Inputs) -> tuple[list[Question], Notes]:
    """All questions over songs that every model has a vector for, and what was left out."""
    living, notes = align(inputs)
    questions: list[Question] = []
    settings, parts, listed = config.evaluate, None, living
    if settings.split:
        parts, more = published(inputs.tracks, living, read_split_lists(settings.split))
        listed, notes = living & parts.songs, notes + more
    tasks, more = make_tasks(inputs.tracks, listed, settings.min_count)
    notes += more
    if parts:
        tasks, more = testable(tasks, parts)
        notes += more
    for task in tasks:
        splits = (
            published_splits(task, parts)
            if parts
            else make_splits(task, settings.repeats, settings.folds, settings.seed)
        )
        questions.append(Probed(task, splits, settings.bootstrap, settings.seed))
    if config.recommendation.plays:
        listed = inputs.tracks[TRACK_ID].to_pylist()
        recommendation = _recommendation(
            config.recommendation, config.recommendation.plays, living, listed, settings.seed
        )
        questions.append(Recommended(recommendation, settings.bootstrap))
        notes += [(recommendation.name, note) for note in recommendation.notes]
    return questions, notes


def _recommendation(
    config: RecommendationConfig, uri: str, living: set[str], listed: Sequence[str], seed: int
) -> Recommendation:
    plays = read_plays(uri, config.songs, living, config.min_users, config.min_songs, listed)
    protocol = Protocol(
        validation=config.validation,
        test=config.test,
        known=config.known,
        splits=config.splits,
        at=config.at,
        mask_seen=config.mask_seen,
        neighbours=config.neighbours,
        ease_songs=config.ease_songs,
        seed=seed,
    )
    return Recommendation(
        "recommendation", plays.tracks, plays.plays, protocol, (plays.note,) if plays.note else ()
    )


def given(config: Config) -> dict[str, Any]:
    """Digests of the files that the configuration names."""
    lists = asdict(read_split_lists(config.evaluate.split)) if config.evaluate.split else {}
    files = [
        config.recommendation.plays,
        config.recommendation.songs,
        *(v.partition("=")[2] for v in config.evaluate.vectors),
    ]
    return {"lists": lists, "files": [digest_of(file) for file in files if file]}
