"""The folder for files that can be downloaded or compiled again."""

from pathlib import Path


def cache_folder() -> Path:
    """Return this library's folder in the user's cache, whether it exists or not."""
    import platformdirs

    return platformdirs.user_cache_path("mlp_jax", appauthor=False, opinion=False)
