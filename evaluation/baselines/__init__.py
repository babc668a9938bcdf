"""The comparison models of every table, from the same frames as the model that is evaluated.

A new one is one file here and one entry in BASELINES: a class as `baseline.Baseline` describes it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from evaluation.baselines.baseline import Baseline
from evaluation.baselines.codebook import VQCodebook
from evaluation.baselines.g1 import G1

# By the settings of `evaluate`; in the order of the tables.
BASELINES: tuple[Callable[[Mapping[str, Any]], Baseline], ...] = (lambda _: G1(), VQCodebook)


def baselines(settings: Mapping[str, Any]) -> list[Baseline]:
    """All comparison models with these settings."""
    return [make(settings) for make in BASELINES]


def with_shares(settings: Mapping[str, Any]) -> list[Baseline]:
    """Those that have units as the model has components, each with one row: their shares."""
    found = (baseline.by_shares() for baseline in baselines(settings))
    return [baseline for baseline in found if baseline is not None]
