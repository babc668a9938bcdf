"""`python -m jobs.report`, which is `hdpgmm report`."""

from infra import cli
from jobs.report.command import main

if __name__ == "__main__":
    cli.run(main)
