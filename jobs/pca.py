"""`python -m jobs.pca`, which is `hdpgmm pca`."""

from infra import cli
from jobs.extract.pca import main

if __name__ == "__main__":
    cli.run(main)
