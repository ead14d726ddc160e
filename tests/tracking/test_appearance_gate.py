"""Where the limit of the appearance distance comes from."""

from pathlib import Path

import pytest

import reid.embedder
from tracking import tracker_options
from tracking.appearance_gate import DEFAULT_FMR, find_gate

BOTH = [tracker_options("strongsort"), tracker_options("sort")]
MODEL = Path("model.onnx")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[float, float]:
    """A card that knows the default rate and another one."""
    known = {DEFAULT_FMR: 0.55, 0.001: 0.2}

    def read(path: Path, fmr: float) -> float:
        if fmr not in known:
            raise ValueError(f"fmr: got {fmr:g}, which was not asked of worlds")
        return known[fmr]

    monkeypatch.setattr(reid.embedder, "read_cosine_limit", read)
    return known


def test_the_card_tells_unless_the_command_line_does(card: dict[float, float]) -> None:
    gate = find_gate(BOTH, reid=MODEL, max_cosine=None, gate_fmr=None)
    assert gate is not None and gate.max_cosine == 0.55
    assert str(gate) == f"0.550 (card of model.onnx, false match rate {DEFAULT_FMR:g})"
    gate = find_gate(BOTH, reid=MODEL, max_cosine=None, gate_fmr=0.001)
    assert gate is not None and gate.max_cosine == 0.2
    gate = find_gate(BOTH, reid=MODEL, max_cosine=0.4, gate_fmr=None)
    assert str(gate) == "0.400 (--max-cosine)"


def test_nothing_known_leaves_the_tracker_its_own(card: dict[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_gate(BOTH, reid=None, max_cosine=None, gate_fmr=None) is None
    assert find_gate([tracker_options("sort")], reid=MODEL, max_cosine=None, gate_fmr=None) is None
    del card[DEFAULT_FMR]
    gate = find_gate(BOTH, reid=MODEL, max_cosine=None, gate_fmr=None)
    assert gate is not None and gate.max_cosine is None and "was not asked of worlds" in str(gate)
    monkeypatch.setattr(reid.embedder, "read_cosine_limit", lambda path, fmr: None)
    gate = find_gate(BOTH, reid=MODEL, max_cosine=None, gate_fmr=None)
    assert gate is not None and str(gate).startswith("each tracker's own (model.onnx has no card with distances")
    with pytest.raises(ValueError, match=r"--gate-fmr: model\.onnx has no card"):
        find_gate(BOTH, reid=MODEL, max_cosine=None, gate_fmr=0.01)


def test_a_rate_that_acts_on_nothing_is_refused(card: dict[float, float]) -> None:
    for options, told, message in [
        ([tracker_options("sort")], {"reid": MODEL, "max_cosine": None}, "no tracker here has a limit"),
        ([], {"reid": MODEL, "max_cosine": None}, "no tracker here has a limit"),
        (BOTH, {"reid": MODEL, "max_cosine": 0.3}, "both say the same limit"),
        (BOTH, {"reid": None, "max_cosine": None}, "--reid, which is not given"),
        (BOTH, {"reid": MODEL, "max_cosine": None}, "--gate-fmr: fmr: got 0.5, which was not asked"),
    ]:
        with pytest.raises(ValueError, match=message):
            find_gate(options, gate_fmr=0.5, **told)
