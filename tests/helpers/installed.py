"""Marks that skip a test whose environment is not installed."""

import pytest

from tratree_data.environments.requirements import java_path, package_version

needs_java = pytest.mark.skipif(java_path() is None, reason="Java is not installed")
needs_scienceworld = pytest.mark.skipif(not package_version("scienceworld"), reason="scienceworld is not installed")
needs_express = pytest.mark.skipif(not package_version("textworld-express"), reason="textworld-express is not installed")
needs_alfworld = pytest.mark.skipif(not package_version("alfworld"), reason="alfworld is not installed")
