"""YAML files that hold a mapping: what is read, and what is refused."""

from pathlib import Path

import pytest

from reid.yaml_mapping import read_yaml_mapping


@pytest.mark.parametrize(("text", "expected"), [("a: 1\nb: [2]\n", {"a": 1, "b": [2]}), ("", {}), ("# none\n", {})])
def test_mappings(text: str, expected: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml_mapping(tmp_path / "a.yaml", "x to y") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: [", "not valid YAML"), (b"a: \xff", "not valid YAML"), (b"[1]", "got list, allowed: a mapping of x to y")],
)
def test_everything_else_is_an_error(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.yaml: {message}"):
        read_yaml_mapping(path, "x to y")
    with pytest.raises(FileNotFoundError):
        read_yaml_mapping(tmp_path / "none.yaml", "x to y")
