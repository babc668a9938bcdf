"""`python -m jobs.train`, which is `hdpgmm train`."""

from infra import cli
from jobs.train.command import main

if __name__ == "__main__":
    cli.run(main)
