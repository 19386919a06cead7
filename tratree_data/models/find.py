"""Where a model is: a folder, the Hub's cache, or the Hub.

Checked before anything is loaded, so that a wrong name is reported within a second.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tratree_data.errors import NotFoundError, TratreeError

CONFIGS = ("config.json", "adapter_config.json")
RECORD = "training.json"
PATIENCE = 10.0


def need_model(name: str) -> None:
    """Refuses a name without a model; the Hub is asked only once, even if it does not answer."""
    folder = Path(name)
    if folder.is_dir():
        _need_files(folder)
    elif not _is_cached(name):
        _ask_the_hub(name)


def _need_files(folder: Path) -> None:
    if (folder / RECORD).is_file() and not json.loads((folder / RECORD).read_text(encoding="utf-8"))["finished"]:
        raise NotFoundError(f"No model in {folder} yet: its training has not finished.\nNext: run that tratree train command again")
    if not any((folder / config).is_file() for config in CONFIGS):
        raise NotFoundError(f"No model in {folder}: it has no config.json.\nNext: name a model's folder or a Hub id")


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return any(isinstance(try_to_load_from_cache(name, config), str) for config in CONFIGS)
    except HFValidationError as error:
        raise NotFoundError(
            f"No such folder: {name}, and it is not a valid name on the Hub.\nNext: name a model's folder or a Hub id"
        ) from error


def _ask_the_hub(name: str) -> None:
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    missing = f"{name} is neither a folder here nor in the Hub's cache"
    try:
        HfApi().model_info(name, timeout=PATIENCE)
    except GatedRepoError as error:
        raise NotFoundError(
            f"{missing}, and the Hub requires you to accept its licence first.\nNext: accept it there, then hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise NotFoundError(
            f"{missing}, and it was not found on the Hub.\nNext: check its name, or hf auth login if it is private"
        ) from error
    except HfHubHTTPError as error:
        raise TratreeError(
            f"{missing}, and the Hub answered {error.response.status_code}.\nNext: try again, or name a model's folder"
        ) from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, OSError) as error:
        kind = type(error).__name__
        raise TratreeError(
            f"{missing}, and the Hub cannot be reached ({kind}).\nNext: name a model's folder, or try again online"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hides transformers' progress bars and warnings, which concern choices of this package, not of the user."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
