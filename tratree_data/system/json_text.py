"""Any value as JSON that every reader accepts."""

import json
import math
from decimal import Decimal
from typing import Any


def json_text(value: Any) -> str:
    """DuckDB's decimal sums become numbers, NaN and infinity become null, and what JSON cannot represent becomes text."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_beyond_json, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_beyond_json)


def _beyond_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
