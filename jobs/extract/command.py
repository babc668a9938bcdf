"""`hdpgmm extract`."""

from typing import Annotated

import typer

from infra import cli
from infra.config import Config, changed
from infra.storage.store import Store
from jobs.extract.job import plan_text, run
from jobs.extract.work import REASONS

MaxBadFraction = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Share of quarantined tracks above which the job fails. [default: 0.5]"
    ),
]
RetryQuarantined = Annotated[
    list[str] | None,
    typer.Option(metavar="REASON", help=f"Try these tracks again; may be repeated: {', '.join(REASONS)}."),
]


@cli.command("extract", "ray")
def main(
    config: Config,
    max_bad_fraction: MaxBadFraction = None,
    retry_quarantined: RetryQuarantined = None,
    dry_run: cli.DryRun = False,
) -> None:
    """Audio to frame features. Does what is missing; run again to continue."""
    if max_bad_fraction is not None:
        config = changed(config, f"extract.max_bad_fraction={max_bad_fraction}")
    Store(config.root).check()
    if dry_run:
        print(plan_text(config, retry_quarantined or ()))
    else:
        run(config, retry=retry_quarantined or ())
