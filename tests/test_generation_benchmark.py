"""The benchmark of generative models, at a size that is quick."""

import sys

import pytest

from benchmarks import generation


def test_generation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--size", "32x16", "--channels", "8", "--batch-size", "4", "--steps", "2", "--samples", "6"]
    told = [*options, "--rounds", "1", "--models", "dcgan", "vae-wgangp"]
    monkeypatch.setattr(sys, "argv", ["generation.py", *told])
    generation.main()
    said = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("| ")]
    assert "Images a second of processor time, 32 x 16" in said and rows[0] == list(generation.COLUMNS)
    assert [row[0] for row in rows[2:]] == ["dcgan", "vae-wgangp"]
    assert all(float(cell) > 0 for row in rows[2:] for cell in row[2:])
    # Five of the critic's steps read five batches of four; the table's milliseconds are rounded.
    assert float(rows[3][3]) == pytest.approx(5 * 4 * 1000 / float(rows[3][2]), rel=0.2)


@pytest.mark.parametrize(("size", "message"), [("40x16", "height, width: got 40, 16"), ("40", "allowed: HEIGHTxWIDTH")])
def test_sizes_that_no_model_has_are_said(
    size: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["generation.py", "--size", size, "--models", "dcgan"])
    with pytest.raises(SystemExit) as stopped:
        generation.main()
    assert stopped.value.code == 2 and message in capsys.readouterr().err
