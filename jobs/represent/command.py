"""`hdpgmm represent`."""

from infra import cli
from infra.config import Config
from jobs.represent.job import plan_text, run


@cli.command("represent", "ray")
def main(config: Config, model: cli.Model = None, dry_run: cli.DryRun = False) -> None:
    """Compute a vector for every song. Run again, it computes only what is missing."""
    if dry_run:
        print(plan_text(config, model))
    else:
        run(config, model)
