"""`python -m jobs.extract`."""

from infra import cli
from jobs.extract.job import main

cli.run(main, "extract", "ray")
