"""Libraries of an extra: the function that needs one imports it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(library: str, extra: str, user: str) -> Iterator[None]:
    """Run an import, and say how to install the library if it is missing.

    Args:
      library: the name under which pip knows it.
      extra: the extra of mlp_jax that installs it.
      user: what needs it, in words.

    Raises:
      ModuleNotFoundError: if the library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{user} needs {library}: pip install 'mlp_jax[{extra}]'"
        raise ModuleNotFoundError(message, name=error.name) from error
