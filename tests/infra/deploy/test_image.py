"""The image's definition, which cannot be built without Docker: what can be read off its lines."""

import re
import shlex
from pathlib import Path

import pytest

IMAGE = Path("infra/deploy/image")
DOCKERFILE = IMAGE / "Dockerfile"
TARGETS = ("cpu", "cuda")


def instructions(text: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of each logical line."""
    joined = re.sub(r"\\\n(\s*#.*\n)*", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of each stage by its name, FROM first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions(DOCKERFILE.read_text()):
        if word == "FROM":
            name = rest.split()[-1]
            found[name] = []
        found[name].append((word, rest))
    return found


def chain(stage: str) -> list[tuple[str, str]]:
    """A stage's instructions after those of the stages it begins from."""
    own = stages()[stage]
    before = own[0][1].split()[0]
    return [*(chain(before) if before in stages() else []), *own]


def test_bases_are_pinned_and_nothing_is_the_latest() -> None:
    bases = {stage[0][1].split()[0] for stage in stages().values()} - set(stages())
    assert bases
    for base in bases:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+[-a-z]*(@sha256:[0-9a-f]{64})?", base), base
    assert "latest" not in DOCKERFILE.read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_ends_as_a_numbered_user(target: str) -> None:
    words = chain(target)
    users = [place for place, (word, _) in enumerate(words) if word == "USER"]
    assert words[users[-1]][1] == "1000:1000", "runAsNonRoot needs a number"
    assert all(word in ("CMD", "USER") for word, _ in words[users[-1] :])


@pytest.mark.parametrize("target", TARGETS)
def test_only_cuda_has_a_compiler(target: str) -> None:
    installed = {
        word
        for instruction, rest in chain(target)
        if instruction == "RUN" and "apt-get install" in rest
        for word in shlex.split(rest.partition("&&")[2].partition("&&")[0])
    }
    assert {"rsync", "wget"} <= installed
    assert ({"gcc", "libc6-dev"} <= installed) == (target == "cuda")
    assert not installed & {"ffmpeg", "sudo", "openssh-server"}


def test_every_pip_line_has_the_constraints() -> None:
    lines = [
        part
        for word, rest in instructions(DOCKERFILE.read_text())
        if word == "RUN"
        for part in rest.split("&&")
    ]
    pip = [line for line in lines if "pip install" in line]
    assert len(pip) == 5
    assert all("--constraint constraints.txt" in line and "--no-cache-dir" in line for line in pip)
    cuda = stages()["build-cuda"]
    assert sum("--constraint cuda.txt" in rest for _, rest in cuda) == 2


def test_what_is_copied_is_there_and_gets_past_the_ignore_file() -> None:
    kept = {line[1:] for line in Path(".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for word, rest in instructions(DOCKERFILE.read_text()):
        assert word != "ADD", "COPY says where things come from"
        if word == "COPY" and "--from" not in rest:
            copied |= set(rest.split()[:-1])
    assert all(Path(name).exists() for name in copied)
    assert copied <= kept
    packages = {"hdpgmm", "features", "evaluation", "infra", "jobs"}
    assert packages <= copied


def test_both_builds_copy_the_same() -> None:
    cpu, cuda = ([rest for word, rest in stages()[f"build-{name}"] if word == "COPY"] for name in TARGETS)
    assert cpu == [rest for rest in cuda if "cuda.txt" not in rest]


def test_no_secret_and_nothing_fetched_by_hand() -> None:
    text = DOCKERFILE.read_text()
    assert not re.search(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY", text)
    assert not re.search(r"\b(curl|wget) +(-\S+ +)*http", text)


def test_no_version_is_said_twice() -> None:
    names = [
        {line.partition("==")[0].lower() for line in path.read_text().splitlines() if "==" in line}
        for path in (Path("constraints.txt"), IMAGE / "cuda.txt")
    ]
    assert names[0]
    assert names[1]
    assert not names[0] & names[1]
