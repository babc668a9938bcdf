"""`python -m jobs.compose`: write a small corpus of music composed by this project, with labels."""

from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated

import typer

from evaluation.compose.corpus import FolderInUse, complete, write_corpus
from evaluation.compose.files import PLANTED
from evaluation.compose.plan import Track
from infra import cli
from infra.errors import ConfigError, Incomplete, StorageError
from infra.progress import Progress

Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder to write: new, empty, or this corpus.")
]
Tracks = Annotated[int, typer.Option("--tracks", metavar="N", help="Number of tracks.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Another seed is another corpus.")]
Processes = Annotated[int, typer.Option("--processes", metavar="N", help="Parallel processes; same files.")]


def compose(out: Path, tracks: int, seed: int, processes: int) -> tuple[Track, ...] | None:
    """Write the corpus or complete it; None if all of it is there. Raises ConfigError, StorageError, Incomplete."""
    _at_least("--tracks", tracks, 1)
    _at_least("--seed", seed, 0)
    _at_least("--processes", processes, 1)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file, expected a folder")
    try:
        if complete(out, tracks, seed):
            return None
        with Progress(tracks, "tracks", "compose") as bar:
            return write_corpus(out, tracks, seed, processes, bar.advance)
    except FolderInUse as error:
        raise ConfigError(f"--out {error}") from None
    except OSError as error:
        raise StorageError(f"--out {out}: {error.strerror or error}") from None
    except BrokenProcessPool:
        raise Incomplete(
            f"--out {out}: a process that composes died, most likely out of memory; run the same command again"
        ) from None


def main(out: Out, tracks: Tracks = 128, seed: Seed = 0, processes: Processes = 2) -> None:
    """Compose a labelled corpus of music: ten styles, four file formats, four files broken on purpose."""
    written = compose(out, tracks, seed, processes)
    if written is None:
        print(f"{out}: already there ({tracks} tracks, seed {seed})")
        return
    styles = Counter(track.style.name for track in written)
    print(f"{out}: {tracks} tracks, {len({track.artist.name for track in written})} composers")
    print("  " + ", ".join(f"{name} {count}" for name, count in styles.items()))
    print(f"  labels.csv; broken on purpose: {', '.join(PLANTED)} (planted.csv)")


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{option} {value}: expected {least} or more")


if __name__ == "__main__":
    cli.run(main)
