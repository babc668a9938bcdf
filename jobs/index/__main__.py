"""`python -m jobs.index`."""

from infra import cli
from jobs.index.job import main

cli.run(main, "index", "labels")
