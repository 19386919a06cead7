"""Keeps Arrow from importing pandas before it makes its first array from a list: that takes longer than most commands."""

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


def spare_pandas() -> None:
    """Makes Arrow believe that pandas is not in use; importing it later, or asking for a data frame, works as usual."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)
