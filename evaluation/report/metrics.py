"""What metrics are called on the pages and what they mean."""

METRIC_NAMES = {
    "macro_f1": "Macro F1",
    "accuracy": "Accuracy",
    "macro_auroc": "Macro AUROC",
    "macro_ap": "Average precision",
    "r2": "R2",
    "pearson_r": "Pearson's r",
    "ndcg": "nDCG",
}
METRIC_MEANING = {
    "macro_f1": "right and complete answers per label, every label counting the same",
    "accuracy": "share of songs that got the right label",
    "macro_auroc": "how often a song with a tag is ranked above one without it; guessing gives 0.5",
    "macro_ap": "how clean the top of the ranking is for a tag; guessing gives the tag's share of songs",
    "r2": "share of the differences between songs that is explained; guessing the mean gives 0",
    "pearson_r": "how well predicted and true numbers go together, from -1 to 1; guessing gives 0",
    "ndcg": "how far up in a list of songs made from part of what a user played the rest of it stands; 1 is perfect",
}
OURS = "HDPGMM"  # what the names of our representations begin with


def metric_name(metric: str) -> str:
    """As people write it; of a list's length, nDCG@500."""
    kind, at, length = metric.partition("@")
    return METRIC_NAMES[kind] + at + length
