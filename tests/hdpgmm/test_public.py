"""What `import hdpgmm` gives, and what it costs."""

import subprocess
import sys

import pytest

import hdpgmm
from hdpgmm.estimator import HDPGMM
from hdpgmm.training_step import Settings


def test_the_package_has_what_its_users_import():
    assert hdpgmm.HDPGMM is HDPGMM
    assert hdpgmm.Settings is Settings
    assert hdpgmm.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="module 'hdpgmm' has no attribute 'HPDGMM'"):
        hdpgmm.HPDGMM  # noqa: B018


@pytest.mark.parametrize("module", ["hdpgmm", "hdpgmm.schedule", "hdpgmm.ragged", "hdpgmm.data.survey"])
def test_torch_is_imported_where_it_is_needed(module: str):
    """A driver of jobs and the readers of frames have no use for it."""
    script = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
