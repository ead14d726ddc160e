"""What the comparisons with other libraries share: their environments, and jobs in processes of their own."""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PEER = "torchreid==0.2.5"
NEEDED = ("gdown", "tensorboard", "h5py", "yacs", "six")  # imported by torchreid, declared by none of its metadata
DEFAULT_FOLDER = Path("build/benchmarks")


# Numbers of Market-1501's images.
MARKET = {"query": 3368, "gallery": 15913, "pids": 750}


def market_parser(description: str | None, repeats: int) -> argparse.ArgumentParser:
    """Returns the options that the comparisons at Market-1501's size share, the hidden ones of their jobs included."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.25, help="share of Market-1501's numbers of images")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=repeats, help="runs of ours, of which the median counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build", type=Path, default=DEFAULT_FOLDER, help="where torchreid's environment goes")
    parser.add_argument("--without-torchreid", action="store_true")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def run_market(
    parser: argparse.ArgumentParser,
    jobs: dict[str, Callable[[Path, int], Any]],
    compare: Callable[[argparse.Namespace], None],
) -> None:
    """Compares, or does one of the jobs, given the folder and the repeats, and prints its JSON."""
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(jobs[arguments.job](arguments.folder, arguments.repeats)))
    else:
        compare(arguments)


def peer_python(
    folder: Path, name: str = "torchreid", peers: Sequence[str] = (PEER,), needed: Sequence[str] = NEEDED
) -> Path:
    """Returns the interpreter of another library's own environment, which is made on the first call.

    It sees the packages of the running environment (torch alone is gigabytes) through a .pth file, and adds its own.

    Args:
        folder: Where environments are kept.
        name: Of the environment, a folder there.
        peers: Requirements that are installed without what they depend on.
        needed: Requirements of theirs that the running environment lacks.

    Raises:
        RuntimeError: When pip fails; the message holds its output.
    """
    home = folder.resolve() / name
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = home / "ready"
    if not ready.exists():
        print(f"making {home} ...", file=sys.stderr, flush=True)
        venv.create(home, clear=True, with_pip=False)
        places = {"base": str(home), "platbase": str(home)}
        site = Path(sysconfig.get_path("purelib", "venv", places))
        (site / "running_environment.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        for packages in (("--no-deps", *peers), needed):
            command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        ready.touch()
    return python


def run_job(python: Path | str, script: str, job: str, folder: Path, *options: str) -> dict[str, Any]:
    """Runs `script --job JOB --folder FOLDER` alone on the machine and returns the JSON of its last line."""
    command = [str(python), "-W", "ignore", script, "--job", job, "--folder", str(folder), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
