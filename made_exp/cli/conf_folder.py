"""Where the YAML files are: inside the package when installed, beside it in a checkout."""

import hashlib
from pathlib import Path


def conf_dir() -> Path:
    """The folder that holds config.yaml.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or beside it; install made-exp anew")


def conf_hash() -> str:
    """SHA-1 over the names and contents of all YAML files of `conf_dir`."""
    digest = hashlib.sha1()
    folder = conf_dir()
    for path in sorted(folder.rglob("*.yaml")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def options_in(folder: Path, group: str) -> list[str]:
    """Names of the options of `group` that `folder` holds, sorted."""
    return sorted(path.stem for path in (folder / group).glob("*.yaml"))


def description_of(path: Path) -> str:
    """The first comment line of a YAML file that is not a directive, without its mark."""
    for line in path.read_text().splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:].strip()
    return ""
