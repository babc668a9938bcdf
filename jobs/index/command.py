"""`hdpgmm index`."""

from infra import cli
from infra.config import Config
from jobs.index.job import plan_text, run


@cli.command("index", "labels", takes=("root", "music", "labels", "corpus"))
def main(config: Config, dry_run: cli.DryRun = False) -> None:
    """List the audio files of a folder, an s3:// prefix or a table, and join their labels."""
    if dry_run:
        print(plan_text(config))
    else:
        run(config)
