"""Where real data for tests lies, and the mark that skips a test where it does not."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "../shared/data"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="real data (../shared/data) is not here")
