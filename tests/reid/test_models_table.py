"""Sizes of the networks: as published, and as the table in checkpoints/README.md says."""

from pathlib import Path

import pytest
import torch
import torchvision

from reid.models import build_model, list_models
from reid.models.complexity import count_parameters, measure_complexity
from reid.models.table import BEGIN, END, PUBLISHED, README, TIMM, main, rounded, update


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_that_are_published(name: str) -> None:
    said = PUBLISHED[name]
    found = measure_complexity(name, said.height, said.width, said.num_classes, **said.options)
    assert rounded(found.parameters, said.parameters) == said.parameters
    if said.multiply_adds:
        assert rounded(found.multiply_adds, said.multiply_adds) == said.multiply_adds


def test_trunks_are_torchvisions() -> None:
    for name in ("resnet18", "resnet50"):
        with torch.device("meta"):
            ours, theirs = build_model(name), getattr(torchvision.models, name)()
        shapes = {n: p.shape for n, p in ours.state_dict().items() if not n.startswith("head.")}
        assert shapes == {n: p.shape for n, p in theirs.state_dict().items() if not n.startswith("fc.")}
        with torch.device("meta"):
            mixed = build_model(f"{name}_ibn_a")
        assert count_parameters(mixed) == count_parameters(ours)


def test_multiply_adds_are_those_of_a_sum_by_hand() -> None:
    work = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        per_output = module.weight[0].numel()
        work.append(output.numel() * per_output)

    model = build_model("osnet_x0_25").eval()
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    model(torch.zeros(1, 3, 64, 32))
    found = measure_complexity("osnet_x0_25", 64, 32)
    assert found.multiply_adds == sum(work) and found.embedding_size == 512
    assert found.parameters == sum(p.numel() for p in model.parameters())


def test_the_table_in_the_repository_names_every_network() -> None:
    text = README.read_text(encoding="utf-8")
    block = text[text.index(BEGIN) : text.index(END)]
    rows = [line.split(" | ")[0].strip("| `") for line in block.splitlines() if line.startswith("| `")]
    assert rows == [*list_models(), *TIMM]


@pytest.mark.slow
def test_the_table_in_the_repository_is_up_to_date(tmp_path: Path) -> None:
    main(["--readme", str(tmp_path / "README.md")])
    new, old = ((tmp_path / "README.md").read_text(), README.read_text(encoding="utf-8"))
    assert new[new.index(BEGIN) : new.index(END)] == old[old.index(BEGIN) : old.index(END)]


def test_the_command_replaces_what_is_between_the_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sub" / "README.md"
    for _ in range(2):
        main(["--readme", str(path), "--names", "osnet_x0_25"])
    text = path.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert "| `osnet_x0_25` | 512 | 0.20 M | 82 M | 0.2 M, 82.3 M | arXiv 1905.00953 |" in text
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    update(path, "new")
    assert path.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    path.write_text("kept\n")
    update(path, "new")
    assert path.read_text() == f"kept\n\n## Backbones\n\n{BEGIN}\nnew\n{END}\n"
    path.write_text(f"{END}\n")
    with pytest.raises(ValueError, match=r"README\.md: has one of the marks"):
        update(path, "new")
    with pytest.raises(SystemExit):
        main(["--readme", str(path), "--names", "nothing"])
    assert "backbone: got 'nothing', allowed: agw" in capsys.readouterr().err
