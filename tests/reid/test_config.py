import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import tyro

from reid.config import parse_config, run_entry_point, unless_told


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a test."""

    batch_size: Annotated[int, tyro.conf.arg(aliases=["--bs"])] = 64
    rate: float = 0.1
    flag: bool = True
    folder: Path | None = None
    maybe: bool | None = None
    count: int | None = None
    levels: tuple[float, ...] = ()
    ranks: tuple[int, ...] | None = None

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {"count": 4, "maybe": False}


@dataclasses.dataclass(frozen=True)
class Outer:
    """Holds a group."""

    inner: Options = dataclasses.field(default_factory=Options)


def test_command_line_wins_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("batch_size: 8\nrate: 0.5\nflag: false\nfolder: some/where\n")
    options = parse_config(Options, ["--bs", "16", "--config", str(tmp_path / "o.yaml")])
    assert options == Options(batch_size=16, rate=0.5, flag=False, folder=Path("some/where"))
    assert parse_config(Options, [f"--config={tmp_path / 'o.yaml'}"]).batch_size == 8


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ([], None),
        (["--maybe"], True),
        (["--no-maybe"], False),
        (["--no_maybe"], False),
        (["--maybe", "False"], False),
        (["--maybe=None"], None),
        (["--maybe", "--rate", "2"], True),
    ],
    ids=str,
)
def test_flags_that_may_be_left_out(given: list[str], value: bool | None) -> None:
    assert parse_config(Options, given).maybe is value


def test_what_a_file_says_needlessly_was_not_told(tmp_path: Path) -> None:
    for text, count in (("count: 4\nmaybe: false", None), ("count: 5", 5), ("count: null", None)):
        (tmp_path / "o.yaml").write_text(text)
        options = parse_config(Options, ["--config", str(tmp_path / "o.yaml")])
        assert (options.count, options.maybe) == (count, None)
    assert unless_told(Outer) == {"count": 4, "maybe": False}
    assert parse_config(Options, ["--count", "4"]).count == 4


@pytest.mark.parametrize(("text", "value"), [("true", True), ("null", None)])
def test_booleans_that_may_be_left_out_are_read_from_files(tmp_path: Path, text: str, value: bool | None) -> None:
    (tmp_path / "o.yaml").write_text(f"maybe: {text}\nflag: true\n")
    options = parse_config(Options, ["--config", str(tmp_path / "o.yaml")])
    assert options == Options(maybe=value)


@pytest.mark.parametrize("given", [["--rate", "nan"], ["--rate=inf"], ["--levels", "0.1", "-inf"]], ids=str)
def test_numbers_are_finite(given: list[str]) -> None:
    with pytest.raises(ValueError, match=r"(rate|levels): got .* allowed: finite numbers"):
        parse_config(Options, given)
    assert parse_config(Outer, ["--inner.levels", "0.1", "-1e3"]).inner.levels == (0.1, -1000.0)


@pytest.mark.parametrize("given", [["--levels"], ["--levels", "--rate", "1"], ["--ranks"]], ids=str)
def test_a_list_without_a_value_is_a_mistake_unless_a_file_gives_one(tmp_path: Path, given: list[str]) -> None:
    with pytest.raises(ValueError, match=r"(levels|ranks): got no value, allowed: one or more, or leave --"):
        parse_config(Options, given)
    (tmp_path / "o.yaml").write_text("levels: [0.1]\nranks: [1]\n")
    options = parse_config(Options, ["--config", str(tmp_path / "o.yaml"), *given])
    assert () in (options.levels, options.ranks)


@pytest.mark.parametrize(
    ("text", "message"),
    [("bach_size: 8", "unknown option bach_size"), ("- 1", "a mapping"), ("a: [", "not valid YAML")],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "o.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        parse_config(Options, ["--config", str(tmp_path / "o.yaml")])


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, FloatingPointError, ModuleNotFoundError])
def test_errors_of_the_user_are_one_line(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(options: Options) -> None:
        raise error("neighbours: hnsw needs faiss")

    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(SystemExit) as raised:
        run_entry_point(main, Options)
    assert raised.value.code == 2 and capsys.readouterr().err == "error: neighbours: hnsw needs faiss\n"


def test_missing_file_and_unknown_option_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no file"):
        parse_config(Options, ["--config", "absent.yaml"])
    with pytest.raises(SystemExit) as error:
        parse_config(Options, ["--bach-size", "8"])
    assert error.value.code == 2
    assert "Unrecognized" in "".join(capsys.readouterr())
