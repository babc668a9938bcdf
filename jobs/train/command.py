"""`hdpgmm train`."""

from infra import cli
from infra.config import Config
from jobs.train.job import plan_text, run


@cli.command("train", "ray")
def main(config: Config, dry_run: cli.DryRun = False) -> None:
    """Learn an HDPGMM from a corpus' features. Run again, it continues or finds the model complete."""
    if dry_run:
        print(plan_text(config))
    else:
        run(config)
