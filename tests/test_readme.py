"""The README's commands and its Python block, run as they stand, on small worlds."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.demo import DemoConfig, reid_data

Run = Callable[..., subprocess.CompletedProcess[str]]
# What makes a command small; appended, so that the README's own options still have to parse.
SMALL = {
    "reid/image_reid_train.py": ["--epochs", "1", "--bs", "16", "--height", "64", "--width", "40"],
    "synthetic_world reid": ["--pids", "12", "--cameras", "2", "--width", "32", "--height", "64"],
    "synthetic_world mot": ["--sequences", "1", "--frames", "8", "--people", "4", "--width", "320", "--height", "180"],
}


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)


def python_commands(readme: str) -> list[str]:
    inline = re.findall(r"`(python -m synthetic_world .*?)`", readme)
    lines = [line for block in blocks(readme, "bash") for line in block.splitlines()]
    return inline + [line for line in lines if line.startswith(("python ", "accelerate launch "))]


def test_readme_commands_work_one_after_the_other(repository: Path, run_python: Run, tmp_path: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    commands = python_commands(readme)
    assert len(commands) == 6
    for command in commands:
        command = re.sub(r"\bruns/", f"{tmp_path}/runs/", command)
        command = re.sub(r"\bMARKET\b", str(tmp_path / "market"), command)
        command = re.sub(r"\bWORLD\b", str(tmp_path / "world"), command)
        command = re.sub(r"\bMOT\b", str(tmp_path / "world" / "train"), command)
        extra = next((options for name, options in SMALL.items() if name in command), [])
        words = shlex.split(command.replace("accelerate launch", "-m accelerate.commands.launch --cpu")) + extra
        run_python(*words[words[0] == "python" :], cwd=repository)
    assert (tmp_path / "runs" / "tracks" / "strongsort" / "WORLD-01.txt").stat().st_size > 0
    notebook = blocks(readme, "python")[0]
    assert len([line for line in notebook.splitlines() if line]) == 8 and f'"{reid_data(DemoConfig())}"' in notebook
    notebook = notebook.replace(str(reid_data(DemoConfig())), f"{tmp_path}/market").replace(
        "runs/", f"{tmp_path}/runs/"
    )
    # Small: another size of input, and half of the few people.
    notebook = notebook.replace("pretrained=False", "preprocessing=SMALL").replace("split_ratio=0.1", "split_ratio=0.5")
    notebook = "from reid.data.images import Preprocessing\nSMALL = Preprocessing(64, 32)\n" + notebook
    run_python("-c", notebook + "\nassert embeddings.shape[1] == 256 and len(embeddings) > 1", cwd=repository)
    # The third block goes on where the second ends.
    code = "".join(blocks(readme, "python")[1:]).replace("runs/", f"{tmp_path}/runs/")
    shown = run_python("-c", code + "\nassert tracks.xyxy.shape == (2, 4)", cwd=repository).stdout.splitlines()
    assert shown[0] == "0 {}" and shown[-1].startswith("4 {1: [") and ", 2: [" in shown[-1]


def test_readme_names_only_targets_and_files_that_exist(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake (\w+)", readme)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\]\(([^)#]+)\)", readme):
        assert (repository / path).exists(), path


@pytest.fixture(scope="module")
def demo(run_python: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo")
    small = ["--pids", 16, "--train-fraction", 0.5, "--cameras", 2, "--epochs", 1, "--batch-size", 16]
    small += ["--height", 64, "--width", 40, "--sequences", 1, "--frames", 12, "--people", 4, "--processes", 1]
    return out, run_python("experiments/demo.py", "--out", out, "--level", "easy", *small).stdout


def test_small_demo_ends_in_one_table(demo: tuple[Path, str]) -> None:
    ending = demo[1][demo[1].rindex("world-easy-reid, seed 0 and world-easy-mot") :]
    for cell in ("colour histogram", "cares18, untrained", "cares18, trained", "Euclidean", "Jaccard"):
        assert cell in ending
    for cell in (
        "Rank-1",
        "mAP",
        "mINP",
        "HOTA",
        "IDF1",
        "MOTA",
        "IDSW",
        "frames/s",
        "StrongSORT with re-ID",
        "ReidSort++",
        "SORT",
    ):
        assert cell in ending


def test_small_demo_writes_one_self_contained_page(demo: tuple[Path, str]) -> None:
    page = (demo[0] / "report.html").read_text(encoding="utf-8")
    # Loss, CMC, two sheets of ranked lists, two frames of two runs.
    assert page.count("<img ") == page.count('src="data:image/') == 8
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    for text in ("mAP", "HOTA", "transductive", "image_reid_train.py"):
        assert text in page


def test_demo_reports_a_failing_step(run_python: Run, tmp_path: Path) -> None:
    done = run_python("experiments/demo.py", "--out", tmp_path, "--pids", 1, check=False)
    assert done.returncode == 2 and "error: step 1" in done.stderr and "Traceback" not in done.stderr
