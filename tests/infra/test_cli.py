"""Options, exit codes and one-line errors of every job's command."""

import pytest

from infra import cli, errors
from infra.config import load


def command(
    capsys: pytest.CaptureFixture[str], *arguments: str, raising: BaseException | None = None
) -> tuple[int, str, str]:
    def main(
        config_file: cli.ConfigFile = None,
        overrides: cli.Set = None,
        root: cli.Root = None,
        dry_run: cli.DryRun = False,
    ) -> None:
        """Does nothing."""
        config = load(config_file, tuple(overrides or ()), root=root)
        if raising:
            raise raising
        print(config.root, config.extract.workers, dry_run)

    with pytest.raises(SystemExit) as ended:
        cli.run(main, "extract", arguments=arguments)
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err  # pyright: ignore[reportReturnType]


def test_options_arrive(capsys: pytest.CaptureFixture[str]):
    code, out, _ = command(capsys, "--root", "r", "--set", "extract.workers=3", "--dry-run")
    assert (code, out) == (0, "r 3 True\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobError, 1),
        (errors.ConfigError, 2),
        (errors.TooManyBadFiles, 3),
        (errors.Incomplete, 4),
        (errors.StorageError, 5),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: type[errors.JobError], code: int
):
    assert command(capsys, raising=error("it\nbroke"))[::2] == (code, "error: it broke\n")


def test_ctrl_c(capsys: pytest.CaptureFixture[str]):
    code, _, err = command(capsys, raising=KeyboardInterrupt())
    assert (code, err) == (130, "interrupted; run the same command again to continue\n")


def test_wrong_options_are_wrong_configuration(capsys: pytest.CaptureFixture[str]):
    code, _, err = command(capsys, "--set", "extract.wrokers=3")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: extract.wrokers: unknown key; known here: ")
    assert command(capsys, "--bogus")[0] == 2


def test_help_lists_the_configuration(capsys: pytest.CaptureFixture[str]):
    code, out, _ = command(capsys, "--help")
    assert code == 0
    assert "extract.shard_tracks = 512  (tracks of one shard at most)" in out


def test_a_bug_keeps_its_traceback():
    def main() -> None:
        """Breaks."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main, arguments=[])
