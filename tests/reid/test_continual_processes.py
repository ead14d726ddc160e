"""Clusters are the same in one process and in two, and an error ends both."""

import json
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from accelerate import Accelerator
from reid.continual import adapt, choose_unlabelled
from reid.continual_options import ContinualOptions
from reid.data import read_dataset
from reid.data.images import Preprocessing
from reid.losses import CombinedLoss
from reid.models import build_model

root, out = sys.argv[1], Path(sys.argv[2])
accelerator = Accelerator(cpu=True)
torch.manual_seed(0)
torch.set_num_threads(1)
data = read_dataset("market1501", root)
result = []
for min_samples in (3, 60):
    torch.manual_seed(0)
    model = build_model("seres18", 8)
    loss = CombinedLoss({"triplet": 1.0, "center": 5e-4}, num_classes=8, feature_size=model.embedding_size)
    options = ContinualOptions(True, eps=0.7, cluster_k1=8, cluster_k2=3, min_samples=min_samples)
    try:
        found = adapt(model, loss, data.train, choose_unlabelled(data, options), lambda samples: None, options=options,
                      preprocessing=Preprocessing(32, 16), accelerator=accelerator, batch_size=1)
        rows = model.head.classifier.weight.detach()[8:].sum(1).tolist()
        result.append({"labels": found.labels.labels.tolist(), "rows": rows})
    except ValueError as error:
        result.append({"error": str(error)})
(out / f"{accelerator.num_processes}-{accelerator.process_index}.json").write_text(json.dumps(result))
accelerator.end_training()
"""


@pytest.mark.slow
def test_processes_agree(run_python: Any, tiny_market: Path, tmp_path: Path, repository: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(repository)!r})\n" + SCRIPT)
    run_python(script, tiny_market, tmp_path)
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)
    run_python(*launch, script, tiny_market, tmp_path)
    one, *two = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1")]
    assert two == [one, one]
    assert max(one[0]["labels"]) >= 0 and "raise eps" in one[1]["error"]
