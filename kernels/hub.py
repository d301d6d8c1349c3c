"""The config.json of a model of the Hugging Face hub: from the local cache, else downloaded. Imports no torch.

No weights are ever downloaded.
"""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

# Owner and name as the hub allows them; names without an owner are the hub's oldest models, such as gpt2.
_HUB_ID = re.compile(r"(?=.{1,96}$)(?:\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
_CONNECT_SECONDS = 3.0


def is_hub_id(model: str) -> bool:
    """Whether a name could be a model of the hub, such as `gpt2` or `facebook/dinov2-base`."""
    return _HUB_ID.fullmatch(model) is not None and ".." not in model and "--" not in model


def cached_config(model: str) -> Path | None:
    """The config.json of a hub model in the local cache; None where there is none. Never connects."""
    if not is_hub_id(model):
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - a fifth of a second that few models need

    path = try_to_load_from_cache(model, "config.json")
    return Path(path) if isinstance(path, str) else None


def downloaded_config(model: str) -> Path:
    """The config.json of a hub model, downloaded into the local cache.

    Raises:
        ValueError: there is no connection, no such model, or it needs a log-in; one line.
    """
    from huggingface_hub import constants, hf_hub_download  # noqa: PLC0415 - as above
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - as above

    where = f"model {model!r}: neither a folder with a config.json nor in the Hugging Face cache, and"
    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"{where} HF_HUB_OFFLINE forbids a download")
    _check_connection(constants.ENDPOINT, where)
    try:
        return Path(hf_hub_download(model, "config.json"))
    except LocalEntryNotFoundError as error:
        raise ValueError(f"{where} {constants.ENDPOINT} does not answer") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = "has no such model, or needs a log-in for it" if status in (401, 403, 404) else f"answers {status}"
        raise ValueError(f"{where} {constants.ENDPOINT} {reason}") from error


def _check_connection(endpoint: str, where: str) -> None:
    """One try of a few seconds: the hub's own client tries again for half a minute."""
    if getproxies():
        return  # a direct connection says nothing
    address = urlsplit(endpoint)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise ValueError(f"{where} there is no connection to {endpoint}: {error.strerror or error}") from error
