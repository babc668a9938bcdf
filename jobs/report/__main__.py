"""`python -m jobs.report`."""

from infra import cli
from jobs.report.job import main

cli.run(main, "report")
