"""The page's style and script, each one text: every file of its folder, base first, and then by name."""

import base64
import hashlib
from functools import cache
from importlib import resources


@cache
def style() -> str:
    """All of `templates/style/*.css`, for one style element."""
    return _joined("style", ".css")


@cache
def script() -> str:
    """All of `templates/script/*.js`, for one script element."""
    return _joined("script", ".js")


@cache
def script_source() -> str:
    """The script as a source of the Content-Security-Policy, `sha256-...`: the page runs this text and no other."""
    digest = hashlib.sha256(script().encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _joined(folder: str, suffix: str) -> str:
    files = [
        each
        for each in resources.files("sslbench.reports").joinpath("templates", folder).iterdir()
        if each.name.endswith(suffix)
    ]
    files.sort(key=lambda each: (each.name != f"base{suffix}", each.name))
    return "".join(f"\n{each.read_text('utf-8').strip()}" for each in files) + "\n"
