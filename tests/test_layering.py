"""Who imports whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("reid", "tracking", "modification_gan", "synthetic_world")
# Module prefix to the prefixes of ours that it may import.
ALLOWED = {
    "synthetic_world": ("synthetic_world",),
    "reid.data": ("reid.data",),
    "reid.models": ("reid.models",),
    "reid.models.zoo": ("reid",),  # an entry point
    "reid.losses": ("reid.losses", "reid.distances"),
    "reid.metrics": ("reid.distances",),
    "reid.reciprocal_weights": ("reid.distances", "reid.neighbours"),
    "reid.reranking": (
        *("reid.distances", "reid.exact_rows", "reid.neighbours", "reid.neighbour_search"),
        "reid.reciprocal_weights",
    ),
    "reid.jaccard": ("reid.distances", "reid.neighbour_search", "reid.reciprocal_weights"),
    "reid": ("reid",),
    "modification_gan": (
        *("modification_gan", "reid.data", "reid.config", "reid.checkpoint", "reid.embedder"),
        # Parts that know nothing of re-ID networks.
        *("reid.devices", "reid.dataset_options", "reid.histogram", "reid.weight_average", "reid.training_state"),
        *("reid.canvas", "reid.thumbnail_sheet", "reid.yaml_mapping"),
    ),
    # Files and score records are written the same way everywhere.
    "tracking": ("tracking", "reid.embedder", "reid.data.mot", "reid.files", "reid.records", "reid.zoo_entries"),
}
# Imported by anyone of the house, because they know nothing of images or networks.
FREE = ("reid.command_flags", "reid.files", "reid.records")


def modules(repository: Path) -> list[tuple[str, Path]]:
    found = []
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            name = ".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(".__init__")
            found.append((name, path))
    return found


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from reid.data import mot` imports reid.data.mot.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES}


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def rule(name: str) -> tuple[str, ...]:
    prefix = max((key for key in ALLOWED if within(name, (key,))), key=len)
    free = () if prefix == "synthetic_world" else FREE
    return ALLOWED[prefix] + free


def test_packages_import_only_what_they_may(repository: Path) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules(repository)
        for imported in imports(path)
        if not within(imported, rule(name))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_rules_would_notice() -> None:
    assert not within("reid.models.cares18", rule("reid.losses.triplet"))
    assert not within("tracking.sort", rule("reid.engine"))
    assert not within("reid.files", rule("synthetic_world.export"))


def test_engine_receives_built_objects(repository: Path) -> None:
    assert not any(
        within(name, ("reid.models", "reid.losses", "reid.data")) for name in imports(repository / "reid/engine.py")
    )


@pytest.mark.parametrize("package", ["tracking", "reid", "synthetic_world", "reid.data.mot", "reid.embedder"])
def test_light_rooms_do_not_load_torch(package: str, repository: Path) -> None:
    code = f"import {package}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=repository).returncode == 0
