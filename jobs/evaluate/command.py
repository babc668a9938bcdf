"""`hdpgmm evaluate`."""

from infra import cli
from infra.config import Config
from jobs.evaluate.job import plan_text, run
from jobs.evaluate.table import show


@cli.command("evaluate", "recommendation", "ray")
def main(config: Config, model: cli.Model = None, dry_run: cli.DryRun = False) -> None:
    """Score the song vectors on labels, numbers and plays, next to G1, VQCodebook and guessing."""
    if dry_run:
        print(plan_text(config, model))
        return
    evaluated = run(config, model)
    show(evaluated.summaries, evaluated.differences)
