"""`python -m jobs.represent`."""

from infra import cli
from jobs.represent.job import main

cli.run(main, "represent", "ray")
