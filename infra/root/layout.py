"""Where everything lies under a root: every path, relative to it, is made here and nowhere else.

Within the folders of a tree of features or vectors the ledger has the word (infra.root.ledger), within those of a
model its checkpoints (infra.root.checkpoints), within those of a run its record (infra.root.runs).
"""

# The folders of a root.
CORPORA, FEATURES, MODELS, VECTORS = "corpus", "features", "models", "vectors"
SCORES, INTERPRETATIONS, SIMILAR, STUDIES = "scores", "interpretation", "similar", "sweeps"
REPORT, RUNS, GC = "report", "runs", "gc"
TREES = (FEATURES, VECTORS)  # folders of trees, which the ledger keeps
OF_MODELS = (MODELS, VECTORS, SCORES, SIMILAR, INTERPRETATIONS)  # folders with a folder of a model's name
DATA, COMMITS, SNAPSHOTS, MOMENTS = "data", "commits", "snapshots", "moments"  # of a tree
CELLS = "cells"  # beside the models' folders, in scores/


def tracks(corpus: str) -> str:
    """The track list of a corpus."""
    return f"{CORPORA}/{corpus}/tracks.parquet"


def features(fingerprint: str) -> str:
    """The tree of features of one specification."""
    return f"{FEATURES}/{fingerprint}"


def vectors(model: str) -> str:
    """The tree of a model's vectors."""
    return f"{VECTORS}/{model}"


def spec(tree: str) -> str:
    """What the rows of a tree were made from."""
    return f"{tree}/spec.json"


def tree_of(table: str) -> str:
    """The tree whose snapshot a table belongs to."""
    return table.partition(f"/{SNAPSHOTS}/")[0]


def moments(tree: str, key: str) -> str:
    """The folder of what is kept of the frames that a training surveyed."""
    return f"{tree}/{MOMENTS}/{key}"


def name_of(tree: str) -> str:
    """The fingerprint of a tree of features, or the model of a tree of vectors."""
    return tree.rpartition("/")[2]


def model(name: str, file: str = "") -> str:
    """The folder of a model, or a file in it."""
    return _in(f"{MODELS}/{name}", file)


def scores(model: str, table: str) -> str:
    """A table of a model's scores: summary, grid or differences."""
    return f"{SCORES}/{model}/{table}.parquet"


def cell(digest: str) -> str:
    """A kept part of scores, by the digest of what it depends on."""
    return f"{SCORES}/{CELLS}/{digest}.parquet"


def interpretation(model: str, file: str = "") -> str:
    """The folder of a model's interpretation, or a file in it."""
    return _in(f"{INTERPRETATIONS}/{model}", file)


def similar(model: str, kind: str) -> str:
    """The folder of what a search by one kind of a model's vectors needs."""
    return f"{SIMILAR}/{model}/{kind}"


def study(folder: str, file: str = "") -> str:
    """The folder of a study, or a file in it."""
    return _in(f"{STUDIES}/{folder}", file)


def report(file: str = "index.html") -> str:
    """A file of the report."""
    return f"{REPORT}/{file}"


def run(job: str, what: str = "") -> str:
    """The folder of the record of a job's runs on a corpus, with a model or for a study."""
    return f"{RUNS}/{job}-{what}" if what else f"{RUNS}/{job}"


def gc(folder: str) -> str:
    """A folder of what gc keeps between its runs."""
    return f"{GC}/{folder}"


def _in(folder: str, file: str) -> str:
    return f"{folder}/{file}" if file else folder
