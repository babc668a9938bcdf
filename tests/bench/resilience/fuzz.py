"""`tests.bench.resilience.fuzz --inputs 10000`: files that strangers made, corrupted in every way; as JSON.

Valid files of each kind are corrupted at random: bits and bytes changed, sizes and counts set to extremes, parts cut,
doubled, moved or put in from elsewhere, text with odd characters, paths that climb, JSON with other types. Each goes
the way that a user's would: track lists and label files through `jobs.index`, tables and records of the ledger through
the plan of an extraction and `jobs.audit`, plays and split lists through their readers, audio through the isolated
child. `joined` is audio files one after the other, with tags and other bytes between: half as they are, of which all
seconds must be heard, half corrupted. Right is a result or a one-line error (JobError), and for audio a result or a
quarantine reason; the child may be killed for its memory or its time, but must not crash. `wrong` lists what was not,
with kind and seed; `--inputs 1 --kind K --seed S` repeats one. `child_peak_mb` is the most that a child held.
"""

import argparse
import json
import logging
import resource
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from features.spec import DEFAULT_PRESET, PRESETS, fingerprint
from infra.config import Config, load
from infra.datasets.plays import read_plays
from infra.datasets.splits import read_split_lists
from infra.errors import JobError
from infra.root.ledger import Tree
from infra.root.records import quarantine_table, songs_table
from infra.storage.parquet import encode
from infra.storage.store import Store
from infra.workers.isolate import Extracted, Isolated
from jobs.extract.work import prepare
from jobs.extract.worker import child_command, child_environment
from jobs.index import job as index
from jobs.upkeep import audit
from tests.features import signals

TRACKS = [f"{style}/{style}.{i:05d}.wav" for style in ("blues", "jazz") for i in range(3)]
ODD = [
    *(b"\x00", b"\xff\xfe", "\u202e\u0000".encode(), b'"', b"'", b",,,,", b"\t", b"\n\n", b"\r", b"|" * 50),
    *(
        b"../../../etc/passwd",
        b"file:///etc/passwd",
        b"s3://",
        b"NaN",
        b"-1",
        b"1e999",
        b"99999999999999999999",
    ),
    *(b"{}", b"[]", b"null", "\U0001f3b5".encode(), b"<script>", b"%s%n"),
]
EXTREMES = [
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\x00" * 8,
    b"\xff" * 8,
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    float("nan"),
    "",
    "x",
    "../x",
    "\u0000",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
]
SECONDS = 0.6  # of each sound
ID3V2, ID3V1 = b"ID3\x03\x00\x00\x00\x00\x03\x74" + bytes(500), b"TAG" + bytes(125)
TAGGED = ("wav", "flac", "aiff", "au", "w64", "ogg", "oga")  # behind which a tag may stand, and another file
BETWEEN = {
    "mp3": [b"", ID3V2, ID3V1, ID3V1 + ID3V2, bytes(700), b"some other bytes" * 20],
    "tagged": [b"", ID3V2, ID3V1],
    "bare": [b""],
}
CHILD_SECONDS = 20.0
Check = Callable[[np.random.Generator], str]  # -> how it ended


def corrupt(data: bytes, rng: np.random.Generator, odd: list[bytes]) -> bytes:
    """The bytes with one to four injuries."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        # Most of what decides about a file is at its start.
        reach = len(out) if rng.random() < 0.5 else min(len(out), 256)
        at = int(rng.integers(0, reach + 1))
        size = int(min(rng.integers(1, 65), len(out) - at))
        how = int(rng.integers(8))
        if how == 0 and size:
            out[at] ^= 1 << int(rng.integers(8))
        elif how == 1:
            out[at : at + size] = rng.bytes(size)
        elif how == 2:
            piece = EXTREMES[rng.integers(len(EXTREMES))]
            out[at : at + len(piece)] = piece
        elif how == 3:
            piece = odd[rng.integers(len(odd))]
            out[at:at] = piece * int(rng.integers(1, 4))
        elif how == 4:
            del out[at : at + size]
        elif how == 5:
            del out[at:]
        elif how == 6:
            out[at:at] = out[at : at + size] * int(rng.integers(1, 40))
        else:
            other = int(rng.integers(0, len(out) + 1))
            out[at:at] = out[other : other + size]
    return bytes(out)


def corrupt_json(tree: Any, rng: np.random.Generator) -> Any:
    """The JSON value with another one somewhere in it, a key lost or a key more."""
    if isinstance(tree, dict) and tree and rng.random() < 0.8:
        key = sorted(tree)[rng.integers(len(tree))]
        if rng.random() < 0.15:
            return {name: value for name, value in tree.items() if name != key}
        if rng.random() < 0.1:
            return {**tree, "more": VALUES[rng.integers(len(VALUES))]}
        return {**tree, key: corrupt_json(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        at = int(rng.integers(len(tree)))
        return [*tree[:at], corrupt_json(tree[at], rng), *tree[at + 1 :]]
    return VALUES[rng.integers(len(VALUES))]


class Fuzz:
    """A small root and folder of music, valid files of each kind, and what is done with corrupted ones."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.music, self.root = folder, folder / "music", folder / "root"
        for track in TRACKS:
            (self.music / track).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(self.music / track, np.zeros(2205), 22050)
        index.run(self.config())
        self.store = Store(str(self.root))
        self.tracks = self.store.read("corpus/default/tracks.parquet")
        self.tree = Tree(self.store, f"features/{fingerprint(PRESETS[DEFAULT_PRESET])}")
        self._write_ledger()
        self.valid = self._files()
        self.sounds = self._sounds()
        self.child = Isolated(child_command(PRESETS[DEFAULT_PRESET]), child_environment(0), CHILD_SECONDS)
        self.child_peak = 0
        self.checks: dict[str, Check] = {
            "audio": self.audio, "joined": self.joined, "labels": self.labels, "lists": self.lists,
            "tracks": self.table, "commits": self.commits, "snapshots": self.snapshots, "plays": self.plays,
            "splits": self.splits,
        }  # fmt: skip

    def config(self, **fields: str) -> Config:
        return load(None, (), root=str(self.root), **{"music": str(self.music), **fields})

    def run(self, kind: str, seed: int) -> tuple[str, str]:
        """How one corrupted file of a kind ended, and if that was wrong what it said."""
        rng = np.random.default_rng([seed, *kind.encode()])
        try:
            return self.checks[kind](rng), ""
        except JobError as error:
            text = str(error)
            told = len(text) > 0 and "Traceback" not in text
            return ("refused", "") if told else ("wrong", f"message {text[:200]!r}")
        except Exception:  # noqa: BLE001 - whatever is raised is what is looked for
            return "wrong", " ".join(traceback.format_exc().splitlines()[-3:])

    def audio(self, rng: np.random.Generator) -> str:
        name = sorted(self.sounds)[rng.integers(len(self.sounds))]
        return self._heard(name, self._corrupted_sound(self.sounds[name], rng))[0]

    def joined(self, rng: np.random.Generator) -> str:
        name = sorted(self.sounds)[rng.integers(len(self.sounds))]
        count = int(rng.integers(2, 6))
        between = BETWEEN["mp3" if name.endswith(".mp3") else "tagged" if name[2:] in TAGGED else "bare"]
        fillers = [between[rng.integers(len(between))] for _ in range(count + 1)]
        front = fillers[0] if between is BETWEEN["mp3"] else fillers[0].removeprefix(ID3V1)
        data = front + b"".join(self.sounds[name] + filler for filler in fillers[1:])
        if rng.random() < 0.5:
            return "corrupted: " + self._heard(name, self._corrupted_sound(data, rng))[0]
        outcome, seconds = self._heard(name, data)
        if abs(seconds - count * SECONDS) > 0.08 * count:
            raise AssertionError(f"{count} {name}: {outcome}, {seconds:.2f} s of {count * SECONDS:.2f}")
        return outcome

    def _corrupted_sound(self, data: bytes, rng: np.random.Generator) -> bytes:
        return corrupt(data, rng, [*ODD, *(self.sounds[other][:64] for other in sorted(self.sounds))])

    def _heard(self, name: str, data: bytes) -> tuple[str, float]:
        """How it ended, and the seconds that were heard."""
        found = self.child.extract(name, data)
        child = self.child._child
        self.child_peak = max(self.child_peak, child.resident_bytes() if child else 0)
        if isinstance(found, Extracted):
            if not np.isfinite(found.frames).all() or len(found.frames) == 0:
                raise AssertionError(f"{name}: frames that are not finite, or none")
            return "frames", found.duration_seconds
        if found.reason == "CRASH" or "\n" in found.message or "Traceback" in found.message:
            raise AssertionError(f"{name}: {found.reason} {found.message}")
        return found.reason, 0.0

    def labels(self, rng: np.random.Generator) -> str:
        path = self._corrupted(rng, [name for name in self.valid if name.startswith("labels")])
        index.run(self.config(labels_file=str(path)))
        return "read"

    def lists(self, rng: np.random.Generator) -> str:
        path = self._corrupted(rng, ["list.csv", "list.parquet"])
        index.run(self.config(music=str(path), corpus="listed"))
        for uri in prepare(self.config(corpus="listed")).tracks["uri"].to_pylist():
            if ".." in Path(uri).parts or ("://" in uri and not uri.startswith("s3://")):
                raise AssertionError(f"a path that climbs or another scheme: {uri!r}")
        return "read"

    def table(self, rng: np.random.Generator) -> str:
        self.store.write("corpus/broken/tracks.parquet", corrupt(self.tracks, rng, ODD))
        try:
            prepare(self.config(corpus="broken"))
        finally:
            self.store.delete("corpus/broken/tracks.parquet")
            with suppress(OSError):
                (self.root / "corpus/broken").rmdir()
        return "read"

    def commits(self, rng: np.random.Generator) -> str:
        return self._record(rng, f"{self.tree.prefix}/commits/s0.json")

    def snapshots(self, rng: np.random.Generator) -> str:
        return self._record(rng, f"{self.tree.prefix}/snapshots/default/1.json")

    def plays(self, rng: np.random.Generator) -> str:
        path = self._corrupted(rng, [name for name in self.valid if name.startswith("plays")])
        read_plays(str(path), None, TRACKS, 1, 1)
        return "read"

    def splits(self, rng: np.random.Generator) -> str:
        for part in ("train", "valid", "test"):
            (self.folder / f"{part}.txt").write_bytes(self.valid[f"{part}.txt"])
        self._corrupted(rng, ["train.txt"])
        read_split_lists(str(self.folder / "{}.txt")).of(TRACKS)
        return "read"

    def _record(self, rng: np.random.Generator, path: str) -> str:
        whole = self.store.read(path)
        corrupted = (
            corrupt(whole, rng, ODD)
            if rng.random() < 0.4
            else json.dumps(corrupt_json(json.loads(whole), rng)).encode()
        )
        self.store.write(path, corrupted)
        try:
            audit.run(self.config())
            prepare(self.config())
        finally:
            self.store.write(path, whole)
        return "read"

    def _corrupted(self, rng: np.random.Generator, names: list[str]) -> Path:
        name = sorted(names)[rng.integers(len(names))]
        path = self.folder / name
        path.write_bytes(corrupt(self.valid[name], rng, ODD))
        return path

    def _write_ledger(self) -> None:
        shards = [TRACKS[:4], TRACKS[4:]]
        commits = []
        for number, tracks in enumerate(shards):
            versions = dict(zip(*(self._column(name) for name in ("track_id", "version")), strict=True))
            frames = [[[0.0] * 52] * 3] * len(tracks)
            columns = {
                "track_id": tracks, "version": [versions[track] for track in tracks],
                "n_frames": pa.array([3] * len(tracks), pa.int32()),
                "frames": pa.array(frames, pa.list_(pa.list_(pa.float32(), 52))),
            }  # fmt: skip
            commits.append(self.tree.commit(f"s{number}", pa.table(columns), [], len(tracks), [len(tracks)]))
        songs = songs_table(commits).sort_by("track_id")
        self.tree.publish("default", [commit.reference() for commit in commits], songs, quarantine_table([]))

    def _column(self, name: str) -> list[Any]:
        return prepare(self.config()).tracks[name].to_pylist()

    def _files(self) -> dict[str, bytes]:
        """Valid files of each kind, by name."""
        rows = [
            (track, track.partition("/")[0], f"a{i % 3}", f"{i / 7:.3f}", "loud|slow")
            for i, track in enumerate(TRACKS)
        ]
        heads = ("path", "genre", "artist", "valence", "tags")
        uris = [str(self.music / track) for track in TRACKS]
        named = pa.table(
            {name: list(column) for name, column in zip(heads, zip(*rows, strict=True), strict=True)}
        )
        listed = pa.table({"uri": uris, "bytes": [1] * len(uris), "version": ["1"] * len(uris)})
        played = [(f"user{i % 4}", track) for i in range(4) for track in TRACKS]
        plays = [(*row, "2") for row in played]
        return {
            "labels.csv": _text(",", heads, rows),
            "labels.tsv": _text("\t", heads, rows),
            "labels.parquet": encode(named, [len(rows)]),
            "list.csv": _text(",", ("uri",), [(uri,) for uri in uris]),
            "list.parquet": encode(listed, [len(uris)]),
            "plays.parquet": encode(
                pa.table(dict(zip(("user", "track"), zip(*played, strict=True), strict=True))), [24]
            ),
            "plays.csv": _text(",", ("user", "track", "plays"), plays),
            "plays.txt": "".join("\t".join(row) + "\n" for row in plays).encode(),
            "train.txt": "\n".join(TRACKS[:2]).encode(),
            "valid.txt": "\n".join(TRACKS[2:4]).encode(),
            "test.txt": "\n".join(TRACKS[4:]).encode(),
        }

    def _sounds(self) -> dict[str, bytes]:
        sound = signals.chords(SECONDS, 22050)
        own = {
            f"a.{kind}": signals.encode(sound, 22050, kind)
            for kind in ("wav", "flac", "ogg", "mp3", "aiff", "au", "w64", "caf")
        }
        wide = signals.stereo(signals.chords(SECONDS, 48000), 48000)
        return own | {
            "a.m4a": signals.encode_foreign("m4a, aac", wide),
            "a.wma": signals.encode_foreign("wma", wide),
            "a.webm": signals.encode_foreign("webm, opus", wide),
            "a.oga": signals.encode_foreign("ogg, flac", wide),
            "a.alac.caf": signals.encode_foreign("caf, alac", wide),
        }


def _text(separator: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    return "".join(separator.join(row) + "\n" for row in (heads, *rows)).encode()


def fuzz(inputs: int, first: int = 0, shares: dict[str, float] | None = None) -> dict[str, Any]:
    """Corrupt so many files, of all kinds, and say how they ended."""
    logging.disable(logging.CRITICAL)
    outcomes: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        work = Fuzz(Path(folder))
        weight = shares or dict.fromkeys(work.checks, 1.0)
        for kind in work.checks:
            count = round(inputs * weight[kind] / sum(weight.values()))
            outcomes[kind] = Counter()
            for seed in range(first, first + count):
                ended, told = work.run(kind, seed)
                outcomes[kind][ended] += 1
                if told:
                    wrong.append(f"{kind} {seed}: {told}")
        work.child.close()
        peak = work.child_peak
    logging.disable(logging.NOTSET)
    return {
        "bench": "fuzz",
        "inputs": sum(sum(found.values()) for found in outcomes.values()),
        "wrong": wrong,
        "outcomes": {kind: dict(found.most_common()) for kind, found in outcomes.items()},
        "child_peak_mb": round(peak / 1e6),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def main() -> None:
    """Corrupt, try, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.resilience.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--kind", help="one kind alone")
    parser.add_argument("--seed", type=int, default=0, help="of the first input of a kind")
    options = parser.parse_args()
    shares = None
    if options.kind:
        kinds = ("audio", "joined", "labels", "lists", "tracks", "commits", "snapshots", "plays", "splits")
        shares = {kind: float(kind == options.kind) for kind in kinds}
    print(json.dumps(fuzz(options.inputs, options.seed, shares)))


if __name__ == "__main__":
    main()
