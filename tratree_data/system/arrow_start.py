"""Arrow without the wait for pandas, which it imports before it makes its first array of a list: longer than most commands take."""

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


def spare_pandas() -> None:
    """Lets Arrow conclude that nobody needs pandas; whoever imports it later, or asks for a data frame, finds it as ever."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)
