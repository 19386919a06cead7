"""Keeps Typer from importing pydantic, which takes long and is not needed to read texts."""

from typing import Any


def spare_pydantic() -> None:
    """Takes texts, defaults and omitted options as they are. Does nothing if Typer works differently inside."""
    try:
        from typer import core
        from typer._coercion import build_runtime_param
    except ImportError:
        return

    class AsTyped:
        def __init__(self, descriptor: Any) -> None:
            self.descriptor = descriptor

        def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
            several = param.multiple or param.nargs == -1
            if value is None or (several and not value):
                return () if several else None
            if not several and type(value) is self.descriptor.annotation:
                return value
            return build_runtime_param(self.descriptor).coerce(value, param=param, ctx=ctx)

    vars(core)["build_runtime_param"] = AsTyped
