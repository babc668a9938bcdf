"""The one configuration record of all jobs.

Frozen pydantic models that refuse unknown keys. A file gives the base, `--set section.key=value` overrides it,
and every default is what a user with a folder of music should get.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import ConfigError

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IndexConfig(Section):
    """The track list."""

    compare_bytes: Count = Field(
        4 << 30, description="bytes read at most to tell which files are the same under two names; 0: none"
    )


class LabelConfig(Section):
    """Which file says what the tracks are. Empty fields are detected from the columns."""

    file: str | None = Field(None, description="CSV or Parquet with one row per track")
    key: str | None = Field(None, description="column that names the audio file")
    single: tuple[str, ...] | None = Field(None, description="columns with one label per track")
    multi: tuple[str, ...] | None = Field(None, description="columns with several labels per track")
    separator: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="what separates the labels of `multi`, as ',' or '|'; default: what the values show"
    )
    value: tuple[str, ...] | None = Field(None, description="columns with a number per track")
    top: Positive | None = Field(None, description="most frequent labels kept of each column of `multi`")
    folder: str | None = Field(None, description="name of a label that is the folder a track lies in")
    group: str | None = Field(None, description="column that must not be split between train and test")


class NetworkConfig(Section):
    """A network whose frames are the features, for extract.features=[network]."""

    path: str | None = Field(
        None,
        description="its file or folder: musicnn's wheel, MERT's folder, or a module of your own, which is run",
    )
    layer: str = Field("", description="layer whose frames are kept; default: the reader's")
    pool_frames: Positive = Field(1, description="consecutive frames whose mean is kept")
    pca: str | None = Field(None, description="projection of the frames, as jobs.pca writes it")
    storage: Literal["float16", "float32"] = Field("float16", description="type of the values that are kept")
    gpus: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="GPUs an extraction actor takes, also a part of one; default: 1 where Ray has some, else 0",
    )


class FramesConfig(Section):
    """Frames of your own as the features, one array a track; for what is not audio to this program."""

    path: str | None = Field(
        None,
        description="folder of .npy files, .npz or .parquet with (frame, dim) or one vector a track, by its name",
    )
    frames_per_second: Annotated[float, Field(gt=0)] = Field(
        1.0, description="frames of a second of audio, for times on the report's pages"
    )
    storage: Literal["float16", "float32"] = Field("float32", description="type of the values that are kept")


class ExtractConfig(Section):
    """Audio to frame features."""

    preset: Literal["music-59", "paper-52", "log-mel-128", "pcm-22050"] = Field(
        "music-59", description="named feature specification; paper-52 is the study's"
    )
    network: NetworkConfig = NetworkConfig()  # pyright: ignore[reportCallIssue]
    frames: FramesConfig = FramesConfig()  # pyright: ignore[reportCallIssue]
    features: tuple[str, ...] | None = Field(
        None,
        description="feature blocks, [mfcc, tonnetz, ...], in place of the preset's",
    )
    excerpt: Literal["whole", "first", "middle", "every"] = Field(
        "whole", description="which part of a track is used"
    )
    excerpt_seconds: Annotated[float, Field(ge=1)] = Field(30.0, description="length of an excerpt, seconds")
    every_seconds: Annotated[float, Field(ge=1)] = Field(
        60.0, description="from the start of an excerpt to that of the next, for excerpt=every"
    )
    workers: Positive | None = Field(None, description="extraction actors; default: the cluster's CPUs")
    shard_bytes: Positive = Field(128 << 20, description="estimated feature bytes of one shard")
    row_group_bytes: Positive = Field(8 << 20, description="estimated feature bytes of one row group")
    shard_tracks: Positive = Field(512, description="tracks of one shard at most")
    track_seconds: Annotated[float, Field(gt=0)] = Field(120.0, description="deadline of one track, seconds")
    worker_seconds: Annotated[float, Field(gt=0)] = Field(
        1800.0,
        description="silence after which a worker is stuck, seconds; a track may always take its own",
    )
    max_bad_fraction: Fraction = Field(
        0.5, description="share of quarantined tracks above which the job fails"
    )


class TrainConfig(Section):
    """The HDPGMM and its inference. Symbols are those of the README's model section."""

    n_components: Positive | None = Field(
        None,
        description="K, components at the start; default: by independent frames and songs, 8 to 256",
    )
    n_atoms: Positive = Field(32, description="T, components one song may use at most")
    covariance: Literal["full", "diag"] = Field("full", description="covariances of the components")
    song_level: Literal["direct", "sticks"] = Field(
        "direct", description="a song's weights: its atoms integrated out, or the paper's sticks"
    )
    gamma: Annotated[float, Field(gt=0)] = Field(
        1.0, description="concentration of the corpus sticks, first value"
    )
    alpha0: Annotated[float, Field(gt=0)] = Field(
        1.0, description="concentration of a song's sticks, first value"
    )
    learn_concentrations: bool = Field(True, description="whether gamma and alpha0 are learned")
    learn_prior: bool = Field(
        True,
        description="whether the components' prior is learned and frames weigh by how much they repeat each other",
    )
    moves: bool = Field(True, description="whether components are merged, deleted and born")
    batch_songs: Positive | None = Field(
        None,
        description="songs of a mini-batch; default: an eighth of the corpus, a power of two in 16..1024",
    )
    epochs: Positive = Field(20, description="passes over the training songs at most")
    subset: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="songs of the corpus used at most, drawn at random: a smaller part is part of a larger one",
    )
    early_stopping: bool = Field(True, description="stop once the held-out score has converged")
    kappa: Annotated[float, Field(gt=0.5, le=1.0)] = Field(0.6, description="decay of the step size")
    tau0: Annotated[float, Field(ge=0)] = Field(1.0, description="delay of the step size, steps")
    splash: Fraction = Field(0.0, description="eta0, uniform share mixed into responsibilities (paper: 0.1)")
    heldout_fraction: Fraction = Field(0.05, description="share of the songs kept for the held-out score")
    heldout_songs: Count = Field(256, description="songs kept for the held-out score at most")
    checkpoint_steps: Positive = Field(20, description="steps between checkpoints")
    keep_checkpoints: Positive = Field(
        3, description="newest checkpoints kept, besides that of the best held-out score"
    )
    ranks: Positive | None = Field(None, description="trainer processes; default: one for each GPU, or one")
    reduction: Literal["deterministic", "fast"] = Field(
        "deterministic",
        description="sums over ranks: the same bits for any number of ranks, or one all-reduce",
    )
    data_workers: Positive = Field(2, description="actors that read, whiten and pack batches")
    ahead_bytes: Positive = Field(2 << 30, description="bytes of batches kept ready at most")
    threads: Positive = Field(2, description="CPU threads of the trainer")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where Ray has one")
    seed: Count = Field(0, description="seed of every random choice")


class RepresentConfig(Section):
    """Song vectors."""

    workers: Positive | None = Field(
        None, description="representation actors; default: one for each GPU, or for each CPU"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes GPUs where Ray has some")
    top: Positive = Field(5, description="largest components listed per song")
    without: tuple[str, ...] = Field(
        (), description="kinds of vectors that are not written, as [fisher], which is the largest by far"
    )


class EvaluateConfig(Section):
    """Probes and comparison models."""

    codewords: Positive = Field(256, description="centres of the VQCodebook")
    repeats: Positive = Field(5, description="repetitions (seeds) of the splits")
    folds: Annotated[int, Field(ge=2)] = Field(5, description="folds of each repetition")
    bootstrap: Positive = Field(1000, description="resamples of the test songs for the interval")
    min_count: Positive = Field(2, description="songs a label needs to take part")
    split: str | None = Field(
        None, description="a published split instead of folds: its lists' path, {} for train, valid and test"
    )
    vectors: tuple[str, ...] = Field(
        (), description="other models' vectors, NAME=FILE.parquet: a column that names the track, and numbers"
    )
    seed: Count = Field(0, description="seed of splits, codebook and resampling")


class RecommendationConfig(Section):
    """Recommendation from what users played."""

    plays: str | None = Field(
        None,
        description="who played what: Echonest's train_triplets.txt, or a table with columns user and song",
    )
    songs: str | None = Field(
        None, description="which tracks a song is: Echonest's taste_profile_song_to_tracks.txt"
    )
    min_users: Positive = Field(1, description="users a song needs")
    min_songs: Annotated[int, Field(ge=2)] = Field(5, description="songs a user needs")
    known: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.7, description="share of a user's songs that is known"
    )
    validation: Positive = Field(1142, description="users who choose the number of neighbours, in each split")
    test: Positive = Field(1142, description="users tested, in each split")
    splits: Positive = Field(5, description="how often users are drawn")
    at: Positive = Field(500, description="length of a list, the k of nDCG")
    mask_seen: bool = Field(True, description="whether known songs stay out of the list (the paper: false)")
    neighbours: tuple[Positive, ...] = Field(
        (16, 32, 64, 128, 256, 512),
        min_length=1,
        description="numbers of neighbours of a song to choose from",
    )
    ease_songs: Positive = Field(4096, description="songs EASE learns about, the most played")


class InterpretConfig(Section):
    """What components go with."""

    songs: Positive = Field(50_000, description="songs looked at, at most; a random part of a larger corpus")
    permutations: Positive = Field(999, description="of songs over labels, for the p-values")
    min_songs: Positive = Field(5, description="songs a label needs")
    shown: Positive = Field(20, description="most used components that are shown and checked")
    seed: Count = Field(0, description="seed of the sample, the permutations and the halves")


class PipelineConfig(Section):
    """All jobs in turn."""

    retrain_share: Fraction = Field(
        0.2, description="share of songs new to the model from which --incremental trains another one"
    )


class SimilarConfig(Section):
    """Songs like a song."""

    kind: str = Field("soft_sqrt", description="which vectors are compared")
    same_group: bool = Field(
        False, description="whether songs of the query's own group, an artist or an album, are listed too"
    )
    index: Literal["auto", "exact", "approximate"] = Field(
        "auto", description="auto: all songs are compared up to index_from, above it those of an index"
    )
    index_from: Positive = Field(200_000, description="songs from which auto builds and asks an index")
    probes: Positive = Field(32, description="cells of the index that a query searches")
    seed: Count = Field(0, description="seed of the index's cells")


class ReportConfig(Section):
    """The pages. A song takes about 7 kB a second, a segment too."""

    components: Positive = Field(
        64, description="components with a page, at most; those that carry 99 % have one"
    )
    songs: Count = Field(40, description="songs with a page, chosen at random across the labels")
    song_seconds: Annotated[float, Field(gt=0)] = Field(
        60.0, description="how much of a song can be played, seconds"
    )
    seed: Count = Field(0, description="seed of that choice")
    labels: Positive = Field(5, description="labels shown per component")
    segments: Positive = Field(3, description="segments to listen to per component")
    segment_seconds: Annotated[float, Field(gt=0)] = Field(3.0, description="length of a segment, seconds")


class RayConfig(Section):
    """How to reach Ray. On a cluster the address comes from RAY_ADDRESS or the submitted job."""

    num_cpus: Positive | None = Field(None, description="CPUs of a local Ray; default: all")
    object_store_bytes: Positive = Field(1 << 30, description="object store of a local Ray, bytes")
    wait_seconds: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="how long a job may wait on a cluster for the first nodes that its autoscaler brings, seconds",
    )


class Config(Section):
    """Everything a run depends on."""

    root: str = Field(description="local path or s3://bucket/prefix that holds all tables")
    music: str | None = Field(None, description="folder, s3:// prefix, or CSV/Parquet list of audio files")
    corpus: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = Field(
        "default", description="name of the corpus"
    )
    index: IndexConfig = IndexConfig()  # pyright: ignore[reportCallIssue]
    labels: LabelConfig = LabelConfig()  # pyright: ignore[reportCallIssue]
    extract: ExtractConfig = ExtractConfig()  # pyright: ignore[reportCallIssue]
    train: TrainConfig = TrainConfig()  # pyright: ignore[reportCallIssue]
    represent: RepresentConfig = RepresentConfig()  # pyright: ignore[reportCallIssue]
    evaluate: EvaluateConfig = EvaluateConfig()  # pyright: ignore[reportCallIssue]
    recommendation: RecommendationConfig = RecommendationConfig()  # pyright: ignore[reportCallIssue]
    interpret: InterpretConfig = InterpretConfig()  # pyright: ignore[reportCallIssue]
    pipeline: PipelineConfig = PipelineConfig()  # pyright: ignore[reportCallIssue]
    similar: SimilarConfig = SimilarConfig()  # pyright: ignore[reportCallIssue]
    report: ReportConfig = ReportConfig()  # pyright: ignore[reportCallIssue]
    ray: RayConfig = RayConfig()  # pyright: ignore[reportCallIssue]


def load(file: str | None = None, overrides: tuple[str, ...] = (), **fields: Any) -> Config:
    """Configuration from a YAML file, then `section.key=value` overrides, then non-None keyword fields.

    A keyword `labels_file` sets `labels.file`. Raises ConfigError naming the field, the rule and the value.
    """
    tree = _read_yaml(file) if file else {}
    for item in overrides:
        _override(tree, item)
    for name, value in fields.items():
        if value is not None:
            _put(tree, ["labels", "file"] if name == "labels_file" else [name], str(value))
    tree.setdefault("root", os.environ.get("HDPGMM_ROOT", "out"))
    return _validated(tree)


def changed(config: Config, *overrides: str) -> Config:
    """The configuration with these `section.key=value`. Raises ConfigError as `load` does."""
    tree = config.model_dump(mode="json")
    for item in overrides:
        _override(tree, item)
    return _validated(tree)


def _override(tree: dict[str, Any], item: str) -> None:
    name, sep, text = item.partition("=")
    if not sep or not name.strip():
        raise ConfigError(f"--set {item!r}: expected section.key=value")
    _put(tree, name.strip().split("."), _parse(item, text))


def _validated(tree: dict[str, Any]) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(detail) for detail in error.errors())) from None


def _read_yaml(file: str) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"--config {file}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"--config {file}: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"--config {file}: expected a mapping of sections, found {type(tree).__name__}")
    return tree


def _parse(item: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {item!r}: {text!r} is not a YAML value") from None


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        child = tree.setdefault(name, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{'.'.join(path)}: {name} is not a section")
        tree = child
    tree[path[-1]] = value


def _explain(detail: Any) -> str:
    field = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{field}: unknown key; known here: {', '.join(_siblings(detail['loc']))}"
    return f"{field}: {detail['msg'].lower()}, found {detail['input']!r}"


def _siblings(location: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location[:-1]:
        inner = model.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return sorted(model.model_fields)
