"""`python -m jobs.interpret`."""

from infra import cli
from jobs.interpret.job import main

cli.run(main, "interpret", "evaluate")
