"""`hdpgmm similar`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from evaluation.neighbours.exact import Term
from infra import cli
from infra.config import Config
from jobs.similar.job import Similar, plan_text, run

Track = Annotated[str | None, typer.Option("--track", metavar="ID", help="A track of the corpus.")]
Audio = Annotated[str | None, typer.Option("--audio", metavar="FILE|S3", help="An audio file, of any place.")]
Most = Annotated[int, typer.Option("--k", metavar="N", help="How many songs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of the table.")]


@cli.command("similar")
def main(
    config: Config,
    track: Track = None,
    audio: Audio = None,
    k: Most = 10,
    as_json_: Json = False,
    model: cli.Model = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Find the songs most like a track, or like an audio file."""
    if dry_run:
        print(plan_text(config, model))
        return
    result = run(config, track, audio, k, model)
    if as_json_:
        print(as_json(result))
    else:
        show(result)


def show(result: Similar) -> None:
    """Print the neighbours as a table."""
    how = "all songs compared" if result.exact else "by the index"
    others = f"; of other {result.group}s" if result.group else ""
    table = Table(title=f"Songs like {result.query} ({how}{others})", title_justify="left")
    for name in ("rank", "cosine"):
        table.add_column(name, justify="right")
    for name in ("track", "labels", "because of"):
        table.add_column(name, overflow="fold")
    for rank, (song, labels) in enumerate(zip(result.neighbours, result.labels, strict=True), 1):
        terms = ", ".join(map(said, song.terms))
        table.add_row(str(rank), f"{song.cosine:.3f}", song.track_id, ", ".join(labels), terms)
    console = Console(highlight=False, markup=False)
    console.print(table)
    if not result.neighbours:
        console.print(f"{result.query} has none: its vector is the mean of all songs, or there are no others")
    elif any(song.terms for song in result.neighbours):
        console.print(
            "because of: what components add to the cosine, the largest terms; all together they are it"
        )


def said(term: Term) -> str:
    """What a component adds to a cosine, in words."""
    both = "" if term.more is None else " both more" if term.more else " both less"
    return f"component {term.component} {term.cosine:.3f}{both}"


def as_json(result: Similar) -> str:
    """The same as one JSON object."""
    rows = [
        {
            "rank": rank,
            "track": song.track_id,
            "cosine": song.cosine,
            "labels": list(labels),
            "terms": [asdict(term) for term in song.terms],
        }
        for rank, (song, labels) in enumerate(zip(result.neighbours, result.labels, strict=True), 1)
    ]
    head = {
        "model": result.model,
        "query": result.query,
        "exact": result.exact,
        "left_out": result.left_out,
        "group": result.group,
    }
    return json.dumps({**head, "neighbours": rows}, ensure_ascii=False)
