"""Typer without the wait for pydantic, with which it converts what was typed: a text that stays a text needs no conversion."""

from typing import Any


def spare_pydantic() -> None:
    """Texts, defaults and options that were left out are taken as they are. A Typer that works differently inside is left alone."""
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
