"""`python -m jobs.similar`, which is `hdpgmm similar`."""

from infra import cli
from jobs.similar.command import main

if __name__ == "__main__":
    cli.run(main)
