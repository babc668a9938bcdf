"""What a person can get wrong: one line that says so, the right exit code, no traceback."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from hdpgmm.components.prior import whitened_prior
from hdpgmm.data.kmeans import from_sample
from hdpgmm.data.whitening import moments, whitening
from hdpgmm.serialization import to_arrays
from infra import cli
from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.storage.store import Store
from jobs.__main__ import COMMANDS
from tests.jobs.trees import clustered_songs, commit_songs

JOBS = {
    name: import_module(module).main
    for name, module in COMMANDS.items()
    if name not in ("compose", "files", "pca", "submit")
}
Ended = tuple[int, list[str]]
Command = Callable[..., Ended]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `python -m jobs.<job> arguments` in this process -> exit code, lines of standard error."""

    def run(job: str, *arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            cli.run(JOBS[job], arguments=arguments)
        return ended.value.code, capsys.readouterr().err.splitlines()  # pyright: ignore[reportReturnType]

    return run


def assert_refused(ended: Ended, code: int, *parts: str) -> None:
    """One line, "error: ...", that contains the parts; log lines may come before it."""
    found, lines = ended
    errors = [line for line in lines if line.startswith("error: ")]
    assert (found, errors) == (code, lines[-1:])
    assert not any("Traceback" in line for line in lines)
    for part in parts:
        assert part in errors[0]


@pytest.fixture
def places(tmp_path: Path, tone_corpus: Path) -> dict[str, str]:
    """Music that is fine, an empty folder, a regular file, a root that does not exist yet."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("not a folder")
    return {"tones": str(tone_corpus), "tmp": str(tmp_path), "root": str(tmp_path / "root")}


@pytest.mark.parametrize("job", ["index", "pipeline"])
@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        ("--music {tmp}/nowhere", 2, ["{tmp}/nowhere: no such folder"]),
        ("--music {tmp}/empty", 2, ["{tmp}/empty: no audio files there"]),
        ("--music {tmp}/file", 2, ["{tmp}/file: a file, expected a folder"]),
        ("", 2, ["music: not set"]),
        ("--music {tones} --labels {tmp}/none.csv", 2, ["none.csv: no such file"]),
        ("--music {tones} --set train.epocs=3", 2, ["train.epocs: unknown key; known here: ", "epochs"]),
        ("--music {tones} --set trian.epochs=3", 2, ["trian: unknown key; known here: ", "train"]),
        ("--music {tones} --set train.epochs=none", 2, ["train.epochs", "'none'"]),
        ("--music {tones} --set labels.key=name", 2, ["no column 'name'; it has file, style, tags, artist"]),
        ("--music {tones} --config {tmp}/none.yaml", 2, ["none.yaml: no such file"]),
        # Root may write anywhere, so no mode of a folder refuses these tests; a file's inside and /proc do.
        ("--music {tones} --root {tmp}/file/below", 5, ["file/below: cannot write there (Not a directory)"]),
        ("--music {tones} --root /proc/x", 5, ["root /proc/x: cannot write there"]),
        ("--music {tones} --root {tmp}/file", 5, ["root {tmp}/file: is a file, expected a folder"]),
        ("--music {tones} --root ftp://host/x", 2, ["expected a local path or s3://bucket/prefix"]),
    ],
)
def test_wrong_places_and_settings(
    command: Command, places: dict[str, str], job: str, arguments: str, code: int, parts: list[str]
) -> None:
    options = ["--root", places["root"], "--labels", f"{places['tones']}/labels.csv"]
    ended = command(job, *options, *(part.format(**places) for part in arguments.split()))
    assert_refused(ended, code, *(part.format(**places) for part in parts))


def test_an_unknown_key_in_a_file(command: Command, places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("train:\n  n_component: 64\n")
    options = ("--root", places["root"], "--music", places["tones"])
    ended = command("pipeline", *options, "--config", f"{tmp_path}/run.yaml")
    assert_refused(ended, 2, "train.n_component: unknown key; known here: ", "n_components")


@pytest.mark.parametrize("job", ["index", "pipeline"])
def test_labels_of_unknown_tracks(command: Command, places: dict[str, str], tmp_path: Path, job: str) -> None:
    """How many there are, and the first of them."""
    labels = (Path(places["tones"]) / "labels.csv").read_text()
    (tmp_path / "more.csv").write_text(labels.split("\n")[0] + "\nlow/98.wav,low,low,artist 1\n")
    options = ("--root", places["root"], "--music", places["tones"], "--labels", f"{tmp_path}/more.csv")
    assert_refused(
        command(job, *options), 2, "1 of 1 rows name no track", "the first row begins ['low/98.wav']"
    )


@pytest.mark.s3
@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_bucket_that_does_not_exist(
    command: Command, places: dict[str, str], s3_server: str, job: str
) -> None:
    more = ("--music", places["tones"]) if job in ("index", "pipeline") else ()
    ended = command(job, "--root", "s3://no-such-bucket-here/root", *more)
    assert_refused(ended, 5, "s3://no-such-bucket-here/root", "no such bucket")


@pytest.mark.s3
def test_music_in_a_bucket_that_does_not_exist(
    command: Command, places: dict[str, str], s3_server: str
) -> None:
    ended = command("pipeline", "--root", places["root"], "--music", "s3://no-such-bucket-here/music")
    assert_refused(ended, 5, "s3://no-such-bucket-here/music: no such bucket")


@pytest.mark.parametrize("job", sorted(JOBS.keys() - {"index", "pipeline"}))
def test_a_root_with_nothing_in_it(command: Command, places: dict[str, str], job: str) -> None:
    assert_refused(command(job, "--root", places["root"]), 2, places["root"])


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_typo_in_an_option(command: Command, job: str) -> None:
    """Click's own words, which guess the option that was meant."""
    code, lines = command(job, "--rooot", "x")
    assert (code, lines[-1]) == (2, "Error: No such option: --rooot (Possible options: --root)")


def test_a_model_of_other_features(command: Command, tmp_path: Path) -> None:
    """`jobs.train` refuses such a checkpoint too: test_train."""
    songs = clustered_songs(0, n_songs=9, n_clusters=3, dim=5, n_frames=30)
    commit_songs(tmp_path, songs)
    save_model(Store(str(tmp_path)), "foreign", songs, "0123456789abcdef")
    ended = command("represent", "--root", str(tmp_path), "--model", "foreign")
    assert_refused(
        ended, 2, "model foreign was trained on features 0123456789abcdef, of which corpus 'default' has none"
    )


def save_model(store: Store, run: str, songs: list[np.ndarray], fingerprint: str) -> None:
    """A finished model that saw nothing but its seeding."""
    frames = np.concatenate(songs)
    white = whitening(moments(frames))
    sample = torch.from_numpy(white(frames))
    prior, generator = whitened_prior(frames.shape[1]), torch.Generator().manual_seed(0)
    state = from_sample(prior, sample, 4, len(frames), len(songs), generator)
    provenance = {"fingerprint": fingerprint, "n_atoms": 3}
    Checkpoints(store, layout.model(run)).save(0, to_arrays(state, white), {}, keep=1)
    models.finish(store, run, provenance, [], {}, 0)
