"""Models of other roots: found by an address, copied byte for byte, called by a name of their own."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from infra.errors import ConfigError, StorageError
from infra.root import layout, models
from infra.root.checkpoints import Checkpoints
from infra.root.imported import bring, is_address, locate, name_here, run_here
from infra.root.taken import take
from infra.storage.store import Store

PROVENANCE = {"songs": "songs-1.parquet", "fingerprint": "f00", "seed": 3}
HISTORY = [{"epoch": 1, "step": 20}]
FEATURES = {"hop_length": 512}


def write(store: Store, run: str, value: float = 1.0, step: int = 20) -> None:
    """A finished model of one number, with a later checkpoint that is not it."""
    checkpoints = Checkpoints(store, layout.model(run))
    for at, number in ((step, value), (step + 20, -1.0)):
        checkpoints.save(at, {"a": np.array([number])}, {"provenance": PROVENANCE}, keep=9)
    models.finish(store, run, PROVENANCE, HISTORY, {"n_components": 4}, step, None, FEATURES)


@pytest.fixture
def there(any_root: str) -> Store:
    """The other root, with models `first` and, finished later, `last`."""
    store = Store(any_root)
    for run, finished in (("first", "2026-01-01"), ("last", "2026-01-02")):
        write(store, run)
        final = json.loads(store.read(f"models/{run}/final.json"))
        store.write(f"models/{run}/final.json", json.dumps({**final, "finished": finished}).encode())
    return store


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "here"))


def tensors(store: Store, run: str) -> dict[str, np.ndarray]:
    """Of all its checkpoints, read by safetensors alone, each with the digest that its entry says."""
    found = {}
    for name in store.names(f"models/{run}/index"):
        for file, digest in json.loads(store.read(f"models/{run}/index/{name}"))["files"].items():
            data = store.read(f"models/{run}/{file}")
            assert hashlib.sha256(data).hexdigest() == digest
            found[name] = load(data)["a"]
    return found


def test_an_address_is_a_root_or_a_model_in_one(there: Store, here: Store) -> None:
    for address, run in (
        (there.root, "last"),
        (f"{there.root}/", "last"),
        (f"{there.root}/models/first", "first"),
    ):
        found = locate(here, address)
        assert (found.store.root, found.final.run) == (there.root, run)
        assert locate(here, found.address).final == found.final
    write(here, "own")
    assert locate(here, "own").store is locate(here, None).store is here
    assert [is_address(name) for name in (None, "own", "./own", "s3://b/r")] == [False, False, True, True]
    for wrong in (f"{there.root}/models/none", f"{there.root}/none"):
        with pytest.raises(
            ConfigError, match="no models there; expected a root with a finished model, or ROOT"
        ):
            locate(here, wrong)
    with pytest.raises(ConfigError, match="a model of another root is named by an address with a slash"):
        locate(here, "first")


def test_addresses_relative_to_where_one_is(
    tmp_path: Path, here: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(Store(str(tmp_path / "models/root")), "run")  # a root in a folder that is called as those of models
    monkeypatch.chdir(tmp_path / "models/root")
    for address in ("models/run", "./models/run", "./", "../root", str(tmp_path / "models/root")):
        found = locate(here, address)
        assert (found.store.root, found.final.run) == (str(Path(found.store.root)), "run")
        assert Path(found.store.root).resolve() == tmp_path / "models/root"


def test_a_copy_is_whole_says_where_it_was_trained_and_is_made_once(there: Store, here: Store) -> None:
    found = locate(here, there.root)
    before = {entry.path: there.digest(entry.path) for entry in there.walk("")}
    name = name_here(here, found)
    assert name == "last"
    assert models.find(here, name) is None
    bring(here, found, name)
    assert [value.tolist() for value in tensors(here, name).values()] == [[1.0]]
    final = models.choose(here, None)
    assert (final.run, final.step, final.provenance, final.features) == ("last", 20, PROVENANCE, FEATURES)
    assert final.finished > "2026-01-02"  # it is a model of this root from now on
    origin = {**final.origin}
    assert len(origin.pop("digest")) == 64
    assert origin == {"root": there.root, "corpus": "", "run": "last", "finished": "2026-01-02"}
    for file, content in (("history.json", HISTORY), ("summary.json", {"n_components": 4})):
        assert json.loads(here.read(f"models/last/{file}")) == content
    copied = {entry.path: here.digest(entry.path) for entry in here.walk("")}
    bring(here, found, name_here(here, found))
    assert {entry.path: here.digest(entry.path) for entry in here.walk("")} == copied
    assert {entry.path: there.digest(entry.path) for entry in there.walk("")} == before


def test_a_copy_of_a_copy_says_where_the_first_was_trained(there: Store, here: Store, tmp_path: Path) -> None:
    bring(here, locate(here, there.root), "last")
    third = Store(str(tmp_path / "third"))
    bring(third, locate(third, here.root), "last")
    assert models.choose(third, None).origin == models.choose(here, None).origin


def test_another_model_of_that_name_and_one_that_gc_took_are_not_it(there: Store, here: Store) -> None:
    write(here, "last", value=2.0)
    found = locate(here, there.root)
    name = name_here(here, found)
    assert name != "last"
    bring(here, found, name)
    assert [*tensors(here, name).values()] == [1.0]
    assert [*tensors(here, "last").values()] == [2.0, -1.0]
    assert name_here(here, found) == name  # found again
    take(here, models.PLACE, [name])
    assert name_here(here, found) not in ("last", name)
    write(here, "first")  # trained here to the same bits: it is that model
    assert name_here(here, locate(here, f"{there.root}/models/first")) == "first"


def test_a_model_of_the_same_root_is_used_where_it_is(here: Store) -> None:
    write(here, "own")
    for address in (here.root, f"{here.root}/models/own"):
        found = locate(here, address)
        bring(here, found, name_here(here, found))
        assert run_here(here, address) == "own"
    assert models.choose(here, "own").origin == {}


def test_later_commands_know_a_copy_by_its_address(there: Store, here: Store) -> None:
    with pytest.raises(
        ConfigError, match=f"last of {there.root} is not in {here.root}: run python -m jobs.represent"
    ):
        run_here(here, there.root)
    bring(here, locate(here, there.root), "last")
    assert run_here(here, there.root) == "last"
    assert [run_here(here, name) for name in ("last", "any", None)] == ["last", "any", None]


def test_a_damaged_model_is_not_copied(there: Store, here: Store) -> None:
    found = locate(here, there.root)
    path = f"models/last/{layout.tensors(layout.checkpoint_name(20))}"
    there.write(path, there.read(path)[:-1] + b"x")
    with pytest.raises(StorageError, match="checkpoint of step 20 is missing or damaged"):
        bring(here, found, "last")
    assert models.finished(here) == []


def test_a_copy_that_was_interrupted_is_made_again(
    there: Store, here: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, write = locate(here, there.root), Store.write

    def failing(self: Store, path: str, data: bytes) -> None:
        if "index" in path:
            raise KeyboardInterrupt
        write(self, path, data)

    monkeypatch.setattr(Store, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        bring(here, found, "last")
    monkeypatch.setattr(Store, "write", write)
    assert models.finished(here) == []
    bring(here, found, name_here(here, found))
    assert [*tensors(here, "last").values()] == [1.0]


def test_the_corpus_that_it_was_trained_on_is_known(here: Store, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    write(other, "m")
    for corpus in ("a", "b"):
        other.write(f"features/f00/snapshots/{corpus}/songs-{'12'['ba'.index(corpus)]}.parquet", b"")
    bring(here, locate(here, other.root), "m")
    assert models.choose(here, "m").origin["corpus"] == "b"
