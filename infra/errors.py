"""What can go wrong in a job, each with the exit code that tells a scheduler what to do next."""


class JobError(Exception):
    """A failure with a one-line message for a person; never a traceback. Itself raised: report it."""

    exit_code = 1


class ConfigError(JobError):
    """The request is wrong: a field, a path or a combination. Running again will not help."""

    exit_code = 2


class TooManyBadFiles(JobError):
    """More inputs are unusable than the run was allowed to tolerate."""

    exit_code = 3


class Incomplete(JobError):
    """Some units are missing or do not match their digest; running again may complete them."""

    exit_code = 4


class NotStarted(Incomplete):
    """A process that the work needs does not start here; elsewhere or later it may."""


class TakenOver(Incomplete):
    """Another run holds the lease now: this one was silent for too long, and must not commit any more."""


class StorageError(JobError):
    """The root, a bucket or a file cannot be read or written."""

    exit_code = 5
