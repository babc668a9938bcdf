"""What the pages say of metrics: the words that each is registered with."""

from evaluation.probing.metrics import METRICS
from evaluation.probing.metrics.metric import Metric

_KNOWN = {metric.name: metric for metrics in METRICS.values() for metric in metrics}


def registered(metric: str) -> Metric:
    """The metric of a table's column; a list's length, as of ndcg@500, does not count."""
    return _KNOWN[metric.partition("@")[0]]


def metric_name(metric: str) -> str:
    """As people write it; of a list's length, nDCG@500."""
    _, at, length = metric.partition("@")
    return registered(metric).title + at + length
