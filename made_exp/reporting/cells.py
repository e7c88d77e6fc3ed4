"""Values of settings as text, and their order."""

import json
from typing import Any


def sort_key(value: Any) -> tuple[int, float, str]:
    """A key that orders numbers before text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, value, ""
    return 1, 0.0, cell_text(value)


def cell_text(value: Any) -> str:
    """A setting or name as text: numbers as short as they are exact, lists as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, default=str)
    return str(value)
