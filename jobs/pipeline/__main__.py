"""`python -m jobs.pipeline`, which is `hdpgmm pipeline`."""

from infra import cli
from jobs.pipeline.command import main

if __name__ == "__main__":
    cli.run(main)
