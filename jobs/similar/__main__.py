"""`python -m jobs.similar`."""

from infra import cli
from jobs.similar.job import main

cli.run(main, "similar")
