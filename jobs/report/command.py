"""`hdpgmm report`."""

from infra import cli
from infra.config import Config
from jobs.report.job import plan_text, run


@cli.command("report", "similar")
def main(config: Config, model: cli.Model = None, dry_run: cli.DryRun = False) -> None:
    """Make pages about a model: components and songs to listen to, scores, training, the corpus."""
    print(plan_text(config, model) if dry_run else run(config, model).uri)
