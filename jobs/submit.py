"""`python -m jobs.submit`, which is `hdpgmm submit`."""

from infra import cli
from jobs.pipeline.submit import main

if __name__ == "__main__":
    cli.run(main)
