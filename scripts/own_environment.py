"""The checkout's .venv, for scripts in Python."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def enter_environment() -> None:
    """Go on in .venv, which is made and filled first where it is missing."""
    venv = Path(os.environ.get("MADE_VENV", ROOT / ".venv"))
    if Path(sys.prefix).resolve() == venv.resolve():
        return
    subprocess.run(["bash", "-ec", "source scripts/environment"], cwd=ROOT, check=True)
    python = str(venv / "bin" / "python")
    os.execv(python, [python, *sys.argv])
