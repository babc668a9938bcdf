"""`python -m jobs.train`."""

from infra import cli
from jobs.train.job import main

cli.run(main, "train", "ray")
