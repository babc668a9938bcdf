"""`python -m jobs.status`, which is `hdpgmm status`."""

from infra import cli
from jobs.upkeep.status import main

if __name__ == "__main__":
    cli.run(main)
