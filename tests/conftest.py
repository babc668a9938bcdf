"""What the tests share: one Ray session of 2 CPUs, S3 through moto as a server on 127.0.0.1."""

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numba
import numpy as np
import pytest
import soundfile
import torch
from moto.server import ThreadedMotoServer

from infra.config import RayConfig
from infra.storage.s3 import connect as connect_s3
from infra.workers.cluster import connect
from tests.places import REPOSITORY

# A directory for each process that runs tests: where two compile a generalised ufunc of librosa into one directory at
# the same time, numba keeps halves of both, and whoever loads them crashes.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = str(REPOSITORY / "build/numba" / _WORKER)  # pyright: ignore

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is first imported

# Deadlines of single examples say nothing on a shared machine.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")


@pytest.fixture(scope="session")
def ray_session(s3_server: str) -> Iterator[None]:
    """A local Ray that the jobs called in this process share; its workers know the S3 server."""
    with connect(RayConfig(num_cpus=2, object_store_bytes=256 << 20)):
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """moto as a server on a free port; its address is in the environment for every process started later."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
    )
    yield os.environ["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture
def s3_root(s3_server: str) -> str:
    """An empty prefix in a new bucket: s3://test-.../root."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    connect_s3().call_s3("create_bucket", Bucket=bucket)
    return f"s3://{bucket}/root"


@pytest.fixture(params=["local", "s3"])
def any_root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A root on the local disk, then one on S3."""
    return str(tmp_path / "root") if request.param == "local" else request.getfixturevalue("s3_root")


@pytest.fixture(scope="session")
def tone_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 good tracks of 1 s (2 styles, 5 artists; wav, flac, ogg, mp3), 4 bad ones and labels.csv.

    Bad: silent.wav, truncated.wav, empty.mp3, notes.ogg. The labels name the good ones only.
    """
    folder = tmp_path_factory.mktemp("tones")
    rows = ["file,style,tags,artist"]
    for number in range(20):
        style, artist = ("low", "high")[number % 2], f"artist {number % 5}"
        name = f"{style}/{number:02d}.{('wav', 'flac', 'ogg', 'mp3')[number % 4]}"
        rows.append(f"{name},{style},{style}|tone,{artist}")
        write_tone(folder / name, 110.0 * (1 + number % 2 * 4) * 2 ** (number / 24))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    soundfile.write(folder / "silent.wav", np.zeros(22050), 22050)
    write_tone(folder / "truncated.wav", 440.0)
    whole = (folder / "truncated.wav").read_bytes()
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp3").write_bytes(b"")
    (folder / "notes.ogg").write_text("not music\n" * 100)
    return folder


def write_tone(path: Path, pitch_hz: float, seconds: float = 1.0, rate: int = 22050) -> None:
    """A decaying tone with three partials; the extension chooses the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    partials = sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in (1, 2, 3))
    soundfile.write(path, 0.3 * partials * np.exp(-(time % 0.25) * 8), rate)
