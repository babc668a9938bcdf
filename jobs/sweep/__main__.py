"""`python -m jobs.sweep`."""

from infra import cli
from jobs.sweep.job import main

cli.run(main, "train", "represent", "evaluate", "taste", "ray")
