"""Where everything lies under a root: every path, relative to it, is made here and nowhere else.

Texts with a slash and ends of file names are found by tests/test_contracts.py wherever else they are.
"""

import re

# The folders of a root.
CORPORA, FEATURES, MODELS, VECTORS = "corpus", "features", "models", "vectors"
SCORES, INTERPRETATIONS, SIMILAR, STUDIES = "scores", "interpretation", "similar", "sweeps"
REPORT, RUNS, GC = "report", "runs", "gc"
TREES = (FEATURES, VECTORS)  # folders of trees, which the ledger keeps
OF_MODELS = (MODELS, VECTORS, SCORES, SIMILAR, INTERPRETATIONS)  # folders with a folder of a model's name
DATA, COMMITS, SNAPSHOTS, MOMENTS = "data", "commits", "snapshots", "moments"  # of a tree
SONGS, QUARANTINE = "songs", "quarantine"  # tables of a snapshot
SUMMARY, GRID, DIFFERENCES = "summary", "grid", "differences"  # tables of a model's scores
ASSOCIATIONS, COMPONENTS, CLASSES = "associations", "components", "classes"  # of its interpretation
CELLS = "cells"  # beside the models' folders, in scores/
CONFIG_JSON, VERSIONS_JSON, SUMMARY_JSON = "config.json", "versions.json", "summary.json"  # of a run's record
EVENTS_JSONL, LOG_JSONL, TRAINING_PNG = "events.jsonl", "log.jsonl", "training.png"
_JSON, _TABLE, _TENSORS, _INDEX = ".json", ".parquet", ".safetensors", "index"


def listed(folder: str, name: str) -> str:
    """The path of what a listing or a record of a folder calls `name`."""
    return f"{folder}/{name}"


def name_of(path: str) -> str:
    """What the folder of an object or a folder calls it: of a tree its fingerprint or model."""
    return path.rpartition("/")[2]


def folder_of(path: str) -> str:
    """The folder that an object lies in."""
    return path.rpartition("/")[0]


def stem(path: str) -> str:
    """The name without its ending."""
    return name_of(path).rpartition(".")[0]


def below(folder: str, path: str) -> str:
    """The path as seen from a folder; unchanged where it is not below it."""
    return path.removeprefix(f"{folder}/")


def is_below(folder: str, path: str) -> bool:
    """Whether the path is below a folder."""
    return path.startswith(f"{folder}/")


def json_stems(names: list[str]) -> list[str]:
    """What names of JSON files say; others unchanged."""
    return [name.removesuffix(_JSON) for name in names]


def is_json(path: str) -> bool:
    """Whether it is called like a JSON file."""
    return path.endswith(_JSON)


def is_table(path: str) -> bool:
    """Whether it is called like a table."""
    return path.endswith(_TABLE)


def tracks(corpus: str) -> str:
    """The track list of a corpus."""
    return f"{CORPORA}/{corpus}/tracks.parquet"


# A tree of features or vectors, which infra.root.ledger keeps.


def features(fingerprint: str) -> str:
    """The tree of features of one specification."""
    return f"{FEATURES}/{fingerprint}"


def vectors(model: str) -> str:
    """The tree of a model's vectors."""
    return f"{VECTORS}/{model}"


def spec(tree: str) -> str:
    """What the rows of a tree were made from."""
    return f"{tree}/spec.json"


def data(tree: str, shard: str, digest: str) -> str:
    """The rows of a shard."""
    return f"{tree}/{DATA}/{shard}/{digest}{_TABLE}"


def shard_of(data: str) -> str:
    """The shard that a table of rows is of."""
    return data.split("/")[-2]


def commits(tree: str) -> str:
    """The folder of a tree's commits."""
    return f"{tree}/{COMMITS}"


def commit(tree: str, shard: str) -> str:
    """The record that makes a shard count."""
    return f"{tree}/{COMMITS}/{shard}{_JSON}"


def snapshots(tree: str, corpus: str = "") -> str:
    """The folder of a tree's snapshots, or of those of a corpus and their tables."""
    return _in(f"{tree}/{SNAPSHOTS}", corpus)


def snapshot(tree: str, corpus: str, number: int) -> str:
    """A snapshot of a corpus, or a fence."""
    return f"{tree}/{SNAPSHOTS}/{corpus}/{number}{_JSON}"


def is_snapshot(name: str) -> bool:
    """Whether a file in a folder of snapshots is one, or a fence."""
    return re.fullmatch(rf"\d+{re.escape(_JSON)}", name) is not None


def snapshot_table(tree: str, corpus: str, table: str, digest: str) -> str:
    """A table of snapshots: SONGS or QUARANTINE."""
    return f"{tree}/{SNAPSHOTS}/{corpus}/{table}-{digest}{_TABLE}"


def digest_of(table: str, name: str) -> str:
    """The digest in the name of a table of snapshots; another name unchanged."""
    return name.removeprefix(f"{table}-").removesuffix(_TABLE)


def tree_of(table: str) -> str:
    """The tree whose snapshot a table belongs to."""
    return table.partition(f"/{SNAPSHOTS}/")[0]


def moments(tree: str, key: str = "") -> str:
    """The folder of what is kept of the frames that trainings surveyed, or of one of them."""
    return _in(f"{tree}/{MOMENTS}", key)


# A model, and checkpoints in any folder (infra.root.checkpoints).


def model(name: str) -> str:
    """The folder of a model."""
    return f"{MODELS}/{name}"


def model_at(address: str) -> tuple[str, str] | None:
    """The root and the name that the address of a model's folder says; None where it is no such address."""
    found = re.fullmatch(rf"(?:(.*)/)?{MODELS}/([^/]+)/*", address)
    return (found[1] or ".", found[2]) if found else None


def final(name: str) -> str:
    """What makes a model a finished one."""
    return f"{MODELS}/{name}/final{_JSON}"


def history(name: str) -> str:
    """A record for each epoch of a model's training."""
    return f"{MODELS}/{name}/history{_JSON}"


def model_summary(name: str) -> str:
    """A finished model's weights and sizes."""
    return f"{MODELS}/{name}/summary{_JSON}"


def used(name: str) -> str:
    """What says that an old model is used again."""
    return f"{MODELS}/{name}/used{_JSON}"


def checkpoint_name(step: int) -> str:
    """What the name of a checkpoint begins with."""
    return f"step-{step:08d}"


def step_of(checkpoint: str) -> int | None:
    """The step of a checkpoint by its name; None where it is none's."""
    digits = checkpoint.removeprefix("step-").partition("-")[0]
    return int(digits) if digits.isdigit() else None


def checkpoint_entries(folder: str) -> str:
    """The folder of the entries of a folder's checkpoints."""
    return f"{folder}/{_INDEX}"


def checkpoint_entry(folder: str, checkpoint: str) -> str:
    """The entry that makes a checkpoint count."""
    return f"{folder}/{_INDEX}/{checkpoint}{_JSON}"


def tensors(checkpoint: str) -> str:
    """The file of a checkpoint's tensors, as seen from its folder."""
    return f"{checkpoint}{_TENSORS}"


def is_checkpoint_entry(folder: str, path: str) -> bool:
    """Whether it is the entry of a checkpoint of a folder."""
    return re.fullmatch(rf"{_INDEX}/step-[\d-]+{re.escape(_JSON)}", below(folder, path)) is not None


def checkpoint_step(path: str) -> int | None:
    """The step of the checkpoint that a file is of; None where it is of none."""
    found = re.search(rf"/step-(\d+)[\d-]*(?:{re.escape(_JSON)}|{re.escape(_TENSORS)})$", path)
    return int(found[1]) if found else None


# What is made with a model.


def scores(model: str, table: str) -> str:
    """A table of a model's scores: SUMMARY, GRID or DIFFERENCES."""
    return f"{SCORES}/{model}/{table}{_TABLE}"


def cell(digest: str) -> str:
    """A kept part of scores, by the digest of what it depends on."""
    return f"{SCORES}/{CELLS}/{digest}{_TABLE}"


def interpretation(model: str) -> str:
    """The folder of a model's interpretation."""
    return f"{INTERPRETATIONS}/{model}"


def interpretation_table(model: str, table: str) -> str:
    """A table of a model's interpretation: ASSOCIATIONS, COMPONENTS or CLASSES."""
    return f"{INTERPRETATIONS}/{model}/{table}{_TABLE}"


def interpretation_summary(model: str) -> str:
    """What a model's interpretation is of, and how well its names hold."""
    return f"{INTERPRETATIONS}/{model}/summary{_JSON}"


def similar(model: str, kind: str) -> str:
    """The folder of what a search by one kind of a model's vectors needs."""
    return f"{SIMILAR}/{model}/{kind}"


def similar_about(folder: str) -> str:
    """What a search knows of the vectors, in the folder of `similar`."""
    return f"{folder}/about{_JSON}"


def similar_index(folder: str, key: str) -> str:
    """The index of a search."""
    return f"{folder}/index-{key}.faiss"


def similar_ids(folder: str, key: str) -> str:
    """The tracks of an index' numbers."""
    return f"{folder}/ids-{key}{_TABLE}"


def is_of_index(name: str) -> bool:
    """Whether a file in the folder of `similar` is an index or its tracks."""
    return name.startswith(("index", "ids"))


def study(name: str) -> str:
    """The folder of a study."""
    return f"{STUDIES}/{name}"


def study_table(folder: str) -> str:
    """The scores of a study, in the folder of `study`."""
    return f"{folder}/table{_TABLE}"


def study_figure(folder: str) -> str:
    """The figure of a study."""
    return f"{folder}/sweep.png"


def study_about(folder: str) -> str:
    """What makes a folder a study: its name, corpus and models."""
    return f"{folder}/about{_JSON}"


def report(page: str = "index.html") -> str:
    """A page, sound or figure of the report, whose own links evaluation.report.paths makes."""
    return f"{REPORT}/{page}"


def report_files() -> str:
    """The list of the report's files that come and go."""
    return f"{REPORT}/files{_JSON}"


# Runs (infra.root.runs) and what holds them (infra.root.lease), what gc keeps between its own.


def run(job: str, what: str = "") -> str:
    """The folder of the record of a job's runs on a corpus, with a model or for a study."""
    return f"{RUNS}/{job}-{what}" if what else f"{RUNS}/{job}"


def record(run: str, tenure: int, file: str = "") -> str:
    """A file of the record of the run that took the lease with that number; "" for what all of them begin with."""
    return f"{run}/{tenure:08d}-{file}"


def tenure_of(name: str) -> int | None:
    """The number of the lease in the name of a file of a record; None where it is none."""
    digits = name.partition("-")[0]
    return int(digits) if digits.isdigit() else None


def lease(run: str) -> str:
    """The folder of the lease of runs of one name."""
    return f"{run}/lease"


def lease_entry(lease: str, number: int) -> str:
    """An entry of a lease's journal."""
    return f"{lease}/{number:08d}{_JSON}"


def beat(lease: str, tenure: int) -> str:
    """What changes while the holder of that tenure lives."""
    return f"{lease}/beat-{tenure:08d}{_JSON}"


def taken(place: str, record: str = "") -> str:
    """The folder of the names that gc has taken in a place, or a record of such names."""
    return f"{GC}/taken/{place}/{record}{_JSON}" if record else f"{GC}/taken/{place}"


def marks(mark: str = "") -> str:
    """The folder of what gc has marked, or the list of what one run has."""
    return f"{GC}/marks/{mark}{_JSON}" if mark else f"{GC}/marks"


def _in(folder: str, file: str) -> str:
    return f"{folder}/{file}" if file else folder
