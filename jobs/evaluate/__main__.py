"""`python -m jobs.evaluate`."""

from infra import cli
from jobs.evaluate.job import main

cli.run(main, "evaluate", "taste", "ray")
