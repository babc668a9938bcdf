"""From a track or a file to its neighbours: by name, by sound, by index."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from features.extract import extract
from features.networks import find_network
from features.networks.network import Choice, Network
from features.spec import fingerprint
from hdpgmm import HDPGMM
from hdpgmm.kinds import KINDS
from hdpgmm.ragged import packed
from infra.config import Config, ExtractConfig, changed, load
from infra.errors import ConfigError
from infra.root.ledger import Tree
from infra.storage.parquet import decode, encode
from infra.storage.store import Store
from jobs.represent.kinds import components_of
from jobs.represent.model import batch_of, load_model
from jobs.similar import index as similar_index
from jobs.similar import job as similar
from jobs.similar.command import as_json, show
from tests.features.networks import tiny
from tests.jobs.scored_roots import COMPONENTS, FINGERPRINT, SPEC, Song, make_songs, write_root, write_vectors
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


@pytest.fixture
def grouped(tmp_path: Path) -> list[Song]:
    """A root of 36 songs of five groups, of two none is known, and songs 3 and 4 are the same file."""
    songs = make_songs(36, groups=5)
    songs = [replace(song, group=None) if i in (7, 8) else song for i, song in enumerate(songs)]
    store = write_root(tmp_path, songs)
    tracks = decode(store.read("corpus/default/tracks.parquet"))
    first = min(songs[3].track_id, songs[4].track_id)
    same = [
        first if track in (songs[3].track_id, songs[4].track_id) else None
        for track in tracks["track_id"].to_pylist()
    ]
    tracks = tracks.append_column("same_as", pa.array(same, pa.string()))
    tracks = tracks.replace_schema_metadata({b"hdpgmm": json.dumps({"group": "artist"}).encode()})
    store.write("corpus/default/tracks.parquet", encode(tracks, [36]))
    return songs


@pytest.mark.parametrize("way", ["exact", "approximate"])
def test_the_same_track_and_others_of_its_group_are_left_out(tmp_path: Path, grouped: list[Song], way: str):
    config = config_of(tmp_path, f"similar.index={way}")
    everyone = {song.track_id for song in grouped}
    for i in (0, 3, 7):
        song = grouped[i]
        same = {song.track_id} | {grouped[k].track_id for k in (3, 4) if i == 3}
        group = {other.track_id for other in grouped if song.group and other.group == song.group}
        found = similar.run(config, song.track_id, k=36)
        assert {other.track_id for other in found.neighbours} == everyone - same - group
        assert (found.left_out, found.group) == (len(same | group), "artist" if song.group else "")
        found = similar.run(changed(config, "similar.same_group=true"), song.track_id, k=36)
        assert {other.track_id for other in found.neighbours} == everyone - same
        assert (found.left_out, found.group) == (len(same), "")
    (first,) = similar.run(config, grouped[0].track_id, k=1).neighbours
    assert first == similar.run(config, grouped[0].track_id, k=36).neighbours[0]


def test_a_file_of_the_corpus_is_asked_as_its_track(root: Path, tmp_path: Path):
    """The same bytes under another name: it is not like itself, nor are others of its group; a file of its size is."""
    store = write_root(tmp_path, make_songs(36, groups=3))
    copy, other = tmp_path / "copy.wav", tmp_path / "other.wav"
    data = (root / "low.wav").read_bytes()
    copy.write_bytes(data)
    other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    tracks = decode(store.read("corpus/default/tracks.parquet"))
    for name, values in (("uri", [str(root / "low.wav")] * 2), ("bytes", [len(data)] * 2)):
        values = pa.array([*values, *tracks[name].to_pylist()[2:]], tracks[name].type)
        tracks = tracks.set_column(tracks.column_names.index(name), name, values)
    names = tracks["track_id"].to_pylist()
    assert similar.same_track(tracks, str(copy), 1 << 30) == names[0]
    assert similar.same_track(tracks, str(other), 1 << 30) is None
    assert similar.same_track(tracks, str(copy), 0) is None


@pytest.mark.parametrize("kind", ["soft_sqrt", "posterior_sqrt", "responsibility"])
def test_terms_are_of_the_vectors_that_are_compared(root: Path, kind: str):
    """Of six components all terms above 0 at most three are told; with the others they are the cosine."""
    track = make_songs(36)[4].track_id
    found = similar.run(config_of(root, f"similar.kind={kind}"), track, k=5)
    change = {
        "soft_sqrt": lambda shares: np.sqrt(0.5 * shares + 0.5 / COMPONENTS),
        "posterior_sqrt": np.sqrt,
        "responsibility": np.asarray,
    }[kind]
    vectors = {song.track_id: change(song.shares) for i, song in enumerate(make_songs(36)) if i != 9}
    mean = np.mean([*vectors.values()], axis=0)
    units = {name: (v - mean) / np.linalg.norm(v - mean) for name, v in vectors.items()}
    for song in found.neighbours:
        terms = units[track] * units[song.track_id]
        order = np.argsort(-terms)[:3]
        assert [term.component for term in song.terms] == [k for k in order.tolist() if terms[k] > 0]
        np.testing.assert_allclose(
            [term.cosine for term in song.terms], terms[order][: len(song.terms)], atol=1e-5
        )
        assert [term.more for term in song.terms] == [units[track][k] > 0 for k in order[: len(song.terms)]]


def test_a_component_of_a_fisher_vector_has_its_gradients_of_means_and_of_variances():
    """Frames that only component 1 has anything of move its numbers alone."""
    of = components_of(KINDS["fisher"], 3, 2 * 3 * 4)
    assert of.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [0] * 4 + [1] * 4 + [2] * 4
    assert components_of(KINDS["soft_sqrt"], 3, 3).tolist() == [0, 1, 2]
    rng = np.random.default_rng(0)
    far = 50.0 * np.eye(3, 4)
    model = HDPGMM(n_components=3, seed=0).fit(
        [(far[k] + rng.normal(size=(200, 4))).astype(np.float32) for k in (0, 1, 2) * 4]
    )
    for k in range(3):
        (vector,) = model.transform([(far[k] + rng.normal(size=(50, 4))).astype(np.float32)], "fisher")
        (mine,) = {
            *components_of(KINDS["fisher"], len(model.weights_), len(vector))[np.abs(vector) > 1e-3].tolist()
        }
        assert np.abs(model.means_[mine] - far[k]).max() < 1.0
    with pytest.raises(ValueError, match="no vector of 3 components has 20 numbers"):
        components_of(KINDS["fisher"], 3, 20)


def test_a_kind_that_was_not_written_cannot_be_searched(root: Path):
    with pytest.raises(ConfigError, match=r"similar\.kind: the vectors of model m1 were made without fisher"):
        similar.run(config_of(root, "similar.kind=fisher"), make_songs(36)[4].track_id)


def test_json_and_table_say_the_same(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    result = similar.run(config_of(root), make_songs(36)[4].track_id, k=2)
    rows = json.loads(as_json(result))["neighbours"]
    assert [row["rank"] for row in rows] == [1, 2]
    assert [term["component"] for term in rows[0]["terms"]] == [
        t.component for t in result.neighbours[0].terms
    ]
    monkeypatch.setenv("COLUMNS", "250")
    show(result)
    text = capsys.readouterr().out
    for row in rows:
        assert row["track"] in text
        assert f"{row['cosine']:.3f}" in text
        for term in row["terms"]:
            both = "more" if term["more"] else "less"
            assert f"component {term['component']} {term['cosine']:.3f} both {both}" in " ".join(text.split())


def test_auto_takes_the_index_of_many_songs(root: Path):
    inputs = similar.find_inputs(Store(str(root)), "default", None)
    assert not similar_index.wants_index(inputs, config_of(root).similar)
    assert similar_index.wants_index(inputs, config_of(root, "similar.index_from=35").similar)
    assert not similar_index.wants_index(inputs, config_of(root, "similar.index_from=36").similar)
