"""From a track or a file to its neighbours: by name, by sound, by index."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from features.extract import extract
from features.networks import find_network
from features.networks.network import Choice, Network
from features.spec import fingerprint
from hdpgmm.ragged import packed
from infra.config import Config, ExtractConfig, load
from infra.errors import ConfigError
from infra.root.ledger import Tree
from infra.storage.store import Store
from jobs.represent.model import batch_of, load_model
from jobs.similar import index as similar_index
from jobs.similar import job as similar
from jobs.similar.command import as_json, show
from tests.features.networks import tiny
from tests.jobs.scored_roots import COMPONENTS, FINGERPRINT, SPEC, make_songs, write_root, write_vectors
from tests.jobs.trees import write_model

RATE = SPEC.sample_rate


def config_of(root: Path, *settings: str) -> Config:
    return load(None, settings, root=str(root))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 songs, and two files of noise whose frames a model was trained on."""
    folder = tmp_path_factory.mktemp("root")
    songs = make_songs(36)
    store = write_root(folder, songs, without_vector=[songs[9].track_id])
    Tree(store, f"features/{FINGERPRINT}").write_spec(SPEC.to_json())
    rng = np.random.default_rng(0)
    parts = []
    for name, colour in (("low", 40), ("high", 1)):
        noise = np.convolve(rng.normal(size=2 * RATE), np.ones(colour) / colour, "same")
        soundfile.write(folder / f"{name}.wav", 0.3 * noise / np.abs(noise).max(), RATE)
        parts.append(extract((folder / f"{name}.wav").read_bytes(), name, SPEC).frames)
    write_model(store, "m1", packed(parts), COMPONENTS)
    return folder


def exact(root: Path, track: str, kind: str) -> list[tuple[str, float]]:
    """All other songs by the cosine of centred vectors, from the songs themselves."""
    songs = [song for i, song in enumerate(make_songs(36)) if i != 9]
    change = {"posterior_sqrt": np.sqrt, "responsibility": np.asarray, "posterior_log": np.log}[kind]
    vectors = np.stack([change(song.shares) for song in songs])
    vectors -= vectors.mean(axis=0)
    (mine,) = [vectors[i] for i, song in enumerate(songs) if song.track_id == track]
    cosines = vectors @ mine / np.linalg.norm(vectors, axis=1) / np.linalg.norm(mine)
    found = [(song.track_id, c) for song, c in zip(songs, cosines, strict=True) if song.track_id != track]
    return sorted(found, key=lambda item: -item[1])


@pytest.mark.parametrize("kind", ["posterior_sqrt", "responsibility", "posterior_log"])
def test_neighbours_of_a_track(root: Path, kind: str):
    track = make_songs(36)[4].track_id
    found = similar.run(config_of(root, f"similar.kind={kind}"), track, k=5)
    expected = exact(root, track, kind)[:5]
    assert [song.track_id for song in found.neighbours] == [name for name, _ in expected]
    np.testing.assert_allclose(
        [song.cosine for song in found.neighbours], [c for _, c in expected], atol=1e-5
    )
    assert found.exact
    styles = {song.track_id: song for song in make_songs(36)}
    for song, words in zip(found.neighbours, found.labels, strict=True):
        mine = styles[song.track_id]
        assert words == (mine.style, *(mine.tags or ()))


def both_ways(root: Path, track: str, k: int, *settings: str) -> list[similar.Similar]:
    """With and without the index."""
    ways = [config_of(root, f"similar.index={way}", *settings) for way in ("approximate", "exact")]
    results = [similar.run(config, track, k=k) for config in ways]
    assert [result.exact for result in results] == [False, True]
    return results


def test_the_index_is_made_once_and_finds_the_same(root: Path):
    track = make_songs(36)[4].track_id
    found, plain = both_ways(root, track, 5)
    assert found.neighbours == plain.neighbours
    config = config_of(root, "similar.index=approximate")
    similar.run(config, track, k=5)
    (path,) = (root / "similar/m1/soft_sqrt").glob("index-*.faiss")
    before = path.stat().st_mtime_ns
    similar.run(config, track, k=5)
    assert path.stat().st_mtime_ns == before
    assert "an index is there" in similar.plan_text(config)
    assert "the mean is to be made" in similar.plan_text(config_of(root, "similar.index=exact"))


def test_other_vectors_make_another_index(tmp_path: Path):
    songs = make_songs(24)
    store = write_root(tmp_path, songs)
    both_ways(tmp_path, songs[0].track_id, 3)
    swapped = [replace(s, shares=o.shares, version="2") for s, o in zip(songs, songs[::-1], strict=True)]
    write_vectors(store, swapped, "m1")
    found, plain = both_ways(tmp_path, songs[0].track_id, 3)
    assert found.neighbours == plain.neighbours


def test_copies_and_songs_that_are_the_mean_come_alike_both_ways(tmp_path: Path):
    """Songs and their rolls, each twice, so that the mean is uniform; and four songs that are just that."""
    rng = np.random.default_rng(0)
    shares = [np.roll(base, i) for base in rng.dirichlet(np.ones(COMPONENTS), 6) for i in range(COMPONENTS)]
    shares = [*shares, *shares, *[np.full(COMPONENTS, 1 / COMPONENTS)] * 4]
    songs = [replace(song, shares=own) for song, own in zip(make_songs(len(shares)), shares, strict=True)]
    write_root(tmp_path, songs)
    alike, means = songs[0], songs[-4:]
    settings = "similar.kind=responsibility"
    for k in (1, 4, len(songs)):
        found, plain = both_ways(tmp_path, alike.track_id, k, settings)
        assert found.neighbours == plain.neighbours
        assert len(found.neighbours) == min(k, len(songs) - 5)
        assert (found.neighbours[0].track_id, found.neighbours[0].cosine) == (
            songs[6 * COMPONENTS].track_id,
            1.0,
        )
        assert not {song.track_id for song in means} & {song.track_id for song in found.neighbours}
    for result in both_ways(tmp_path, means[0].track_id, 3, settings):
        assert result.neighbours == ()


@pytest.mark.parametrize("name", ["low", "high"])
def test_an_audio_file_has_the_vector_of_its_frames(root: Path, name: str):
    path = root / f"{name}.wav"
    inputs = similar.find_inputs(Store(str(root)), "default", None)
    found = similar.audio_vector(inputs, str(path), "posterior_sqrt", ExtractConfig())
    frames = extract(path.read_bytes(), name, SPEC).frames
    expected = batch_of(load_model(Store(str(root)), "m1"), packed([frames])).vectors.posterior.sqrt()[0]
    np.testing.assert_array_equal(found, expected.numpy())
    assert len(similar.run(config_of(root), audio=str(path), k=4).neighbours) == 4


def test_two_sounds_are_two_vectors(root: Path):
    inputs = similar.find_inputs(Store(str(root)), "default", None)
    low, high = (
        similar.audio_vector(inputs, str(root / f"{n}.wav"), "responsibility", ExtractConfig())
        for n in ("low", "high")
    )
    assert np.abs(low - high).sum() > 0.2


def test_a_network_is_the_one_that_the_configuration_names(tmp_path: Path):
    network = find_network(Choice(str(tiny.write(tmp_path))))
    read = Network.from_json(network.to_json())
    here = load(None, (f"extract.network.path={tmp_path}",), root="x").extract
    assert similar.named_network(read, here).path == str(tmp_path)
    other = load(None, (f"extract.network.path={tmp_path}", "extract.network.layer=large"), root="x").extract
    for config, said in ((other, "names module large"), (ExtractConfig(), "names none")):
        with pytest.raises(
            ConfigError, match=rf"^extract\.network\.path: the features are of module small.*{said}"
        ):
            similar.named_network(read, config)


def test_bad_audio_is_one_line(root: Path, tmp_path: Path):
    (tmp_path / "text.wav").write_bytes(b"this is not audio\n" * 50)
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    for name, reason in (
        ("text.wav", "NOT_AUDIO"),
        ("silence.wav", "SILENT"),
        ("absent.wav", "no such file"),
    ):
        with pytest.raises(ConfigError, match=reason) as caught:
            similar.run(config_of(root), audio=str(tmp_path / name))
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)
        assert caught.value.exit_code == 2


def test_a_track_by_the_end_of_its_name_or_not_at_all(root: Path):
    name = make_songs(36)[4].track_id
    assert similar.run(config_of(root), name.rpartition("/")[2]).query == name
    with pytest.raises(ConfigError, match=r"no such tracks .*did you mean songs/00"):
        similar.run(config_of(root), "songs/00")
    with pytest.raises(ConfigError, match="no such tracks"):
        similar.run(config_of(root), make_songs(36)[9].track_id)  # has no vector
    for wrong in ({}, {"track": name, "audio": "x"}):
        with pytest.raises(ConfigError, match="one of --track"):
            similar.run(config_of(root), **wrong)
    with pytest.raises(ConfigError, match="--k 0"):
        similar.run(config_of(root), name, k=0)


def test_features_of_another_program_are_refused(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    inputs = similar.find_inputs(Store(str(root)), "default", None)
    assert fingerprint(similar.read_specification(inputs)) == FINGERPRINT
    store = Store(str(tmp_path))
    for name, change in (("a", {"revision": 1}), ("b", {"libraries": {}})):
        Tree(store, f"features/{name}").write_spec({**SPEC.to_json(), **change})
    with pytest.raises(ConfigError, match="another version"):
        similar.read_specification(replace(inputs, store=store, feature_prefix="features/a"))
    assert similar.read_specification(replace(inputs, store=store, feature_prefix="features/b")) == SPEC
    assert "other library versions" in caplog.text


def test_json_and_table_say_the_same(root: Path, capsys: pytest.CaptureFixture[str]):
    result = similar.run(config_of(root), make_songs(36)[4].track_id, k=2)
    rows = json.loads(as_json(result))["neighbours"]
    assert [row["rank"] for row in rows] == [1, 2]
    show(result)
    text = capsys.readouterr().out
    for row in rows:
        assert row["track"] in text
        assert f"{row['cosine']:.3f}" in text


def test_auto_takes_the_index_of_many_songs(root: Path):
    inputs = similar.find_inputs(Store(str(root)), "default", None)
    assert not similar_index.wants_index(inputs, config_of(root).similar)
    assert similar_index.wants_index(inputs, config_of(root, "similar.index_from=35").similar)
    assert not similar_index.wants_index(inputs, config_of(root, "similar.index_from=36").similar)
