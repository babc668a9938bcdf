"""`python -m jobs.sweep`, which is `hdpgmm sweep`."""

from infra import cli
from jobs.sweep.command import main

if __name__ == "__main__":
    cli.run(main)
