"""Values of parameters, as somebody types them."""

import contextlib
import math

from fer_utils.common.errors import UserError

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def as_typed(name: str, value, default):
    """Give a parameter's value the type of its default, since YAML reads 1e-3 as text and 2013 as a number.

    Raises:
        UserError: naming the parameter, if the value, text or what YAML made of it, cannot be of this type.
    """
    import yaml

    kind, given = type(default), value
    with contextlib.suppress(ValueError, OverflowError, yaml.YAMLError):
        if isinstance(value, str) and kind is not str:
            value = {int: int, float: float}.get(kind, yaml.safe_load)(value)
        # For Python, true and false are numbers.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind is float and is_number and math.isfinite(value):
            return float(value)
        if kind is int and is_number and value == int(value):
            return int(value)
        if kind is str and is_number:
            return str(value)
        if default is None or (kind not in (int, float) and isinstance(value, kind)):
            return value
    raise UserError(f"{name} must be {WORDS.get(kind, f'a {kind.__name__}')}, such as {default!r}, not {given!r}")


def parse_overrides(items: list[str]) -> dict[str, str]:
    """Turn ["EPOCHS=2", "DATA=../x.zip"] into parameters, all of them text; `as_typed` makes of it what it stands for.

    Raises:
        UserError: if an item has no `=`.
    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"'{item}' is not NAME=VALUE, for example EPOCHS=2")
        found[name.strip()] = value.strip()
    return found
