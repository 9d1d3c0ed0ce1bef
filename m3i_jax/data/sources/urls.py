"""Where data lies, as a config says it: a path, a URL of one, or a URL of another machine."""

import re
from pathlib import Path
from urllib.parse import unquote

from m3i_jax.build import ConfigError

SCHEME = re.compile(r"([A-Za-z][\w+.-]+):/{1,2}(?=[^/])|file:/+")
# How what lies elsewhere is copied and mounted.
TOOLS = {
    "gs": ("gcloud storage cp -r", "gcsfuse"),
    "s3": ("aws s3 cp --recursive", "mount-s3"),
    "hf": ("hf download", ""),
    "http": ("wget", ""),
    "https": ("wget", ""),
}


def is_remote(place: str) -> bool:
    """Whether it is a URL of what may lie on another machine."""
    match = SCHEME.match(place)
    return match is not None and match[1] is not None and match[1].lower() != "file"


def local(place: str) -> str:
    """A path, with ~ for the home of the user; file:///data/x is /data/x.

    Raises:
      ConfigError: it is a URL of another machine; how such data come to this one.
    """
    match = SCHEME.match(place)
    if match is None:
        return str(Path(place).expanduser())
    if not is_remote(place):
        path = place.split(":", 1)[1]
        host, slash, rest = path.removeprefix("//").partition("/")
        if path.startswith("//") and host not in ("", "localhost"):
            raise ConfigError(f"'{place}' is on the machine '{host}': a path here is file:///PATH")
        return unquote(slash + rest) if path.startswith("//") else unquote(path)
    copy, mount = TOOLS.get(match[1].lower(), ("", ""))
    how = f"copy it first (`{copy} {place} FOLDER`)" if copy else "copy it first"
    how += f", or mount it (`{mount}`)" if mount else ", or mount it"
    raise ConfigError(
        f"'{place}' is a URL, and this source reads files of this machine only: {how}; behind URLs "
        "tar_shards, parquet and image_folder (also in a zip) are read"
    )
