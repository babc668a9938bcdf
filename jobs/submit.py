"""`python -m jobs.submit`."""

from infra import cli
from jobs.pipeline.submit import main

if __name__ == "__main__":
    cli.run(main)
