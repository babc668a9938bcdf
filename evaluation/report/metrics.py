"""What metrics are called on the pages and what they mean: the words of all registered ones."""

from evaluation.probing.metrics import METRICS
from evaluation.recommendation.recommend import NDCG

_KNOWN = {metric.name: metric for metric in (*(m for kind in METRICS.values() for m in kind), NDCG)}


def metric_name(metric: str) -> str:
    """As people write it; of a list's length, nDCG@500."""
    name, at, length = metric.partition("@")
    return _KNOWN[name].title + at + length


def metric_title(metric: str) -> str:
    """The same without a list's length."""
    return _KNOWN[metric].title


def metric_meaning(metric: str) -> str:
    """What a metric, without a list's length, says."""
    return _KNOWN[metric].meaning
