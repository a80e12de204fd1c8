"""One-sentence refusals that several strategies share."""


def positive(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, found {value!r}")


def whole(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a whole number of at least 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be 0 or more, a whole number; found {value!r}")
