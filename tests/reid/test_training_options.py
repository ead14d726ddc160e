"""Every option of the image training acts, and none is taken that does not."""

import ast
import functools
from pathlib import Path

import pytest
import torch
from training_runs import equal, options, train

from reid.config import option_names, option_values
from reid.data.base import Sample
from reid.data.images import Preprocessing
from reid.data.loader import training_loader
from reid.data.samplers import PKBatchSampler
from reid.models import build_model
from reid.reid_model import ReIDModel
from reid.train_options import NetworkOptions, TrainConfig
from reid.training_data import read_training_data

Change = tuple[tuple[object, ...], tuple[object, ...]]
WIDER = ("--height", 48, "--width", 40)
CIRCLE = ("--circle-weight", 1)
CONTRAST = ("--cluster-contrast-weight", 1)
MEMORY = ("--xbm-weight", 1, "--xbm-start", 0)
MULTI_STEP = ("--schedule", "multi-step", "--milestones", 1, "--epochs", 2)
CONTINUAL = ("--continual", "--cluster-k1", 8, "--cluster-k2", 3, "--continual-epochs", 1)
# A network that takes no time; what does not ask for another one is tried on it.
LIGHT = ("--backbone", "timm:test_resnet")
# Options and what they are added to; each must change the weights.
CHANGES: list[Change] = [
    ((), ("--backbone", "seres18")),
    ((), ("--attention", "triplet")),
    ((), ("--ibn", "False")),
    ((), ("--pooling", "max")),
    (WIDER, ("--precision", "bf16")),
    *(
        ((*LIGHT, *base), change)
        for base, change in (
            ((), ("--height", 48)),
            ((), ("--width", 24)),
            ((), ("--renorm", "--renorm-warmup", 1)),
            (("--renorm",), ("--renorm-warmup", 1)),
            (("--renorm",), ("--renorm-pk",)),
            ((), ("--sie",)),
            (("--sie",), ("--cam_factor", 3.0)),
            ((), ("--cross-entropy-weight", 0.5)),
            ((), ("--smoothing", 0)),
            ((), ("--epsilon", -1.0)),
            ((), ("--temperature", "2.")),
            ((), ("--triplet-weight", 0.5)),
            ((), ("--triplet", "weighted-regularised")),
            ((), ("--margin", 0)),
            ((), ("--center_lamda", 0)),
            ((), CIRCLE),
            (CIRCLE, ("--circle-margin", 0.4)),
            (CIRCLE, ("--circle-gamma", 64)),
            ((), CONTRAST),
            (CONTRAST, ("--contrast-momentum", 0.9)),
            (CONTRAST, ("--contrast-scale", 5)),
            ((), MEMORY),
            (MEMORY, ("--xbm-size", 32)),
            (MEMORY, ("--xbm-start", 2)),
            ((), ("--batch-size", 32)),
            ((), ("--instance", 2)),
            ((), ("--sampler", "camera-balanced")),
            (("--triplet-weight", 0), ("--sampler", "random")),
            ((), ("--flip", 0)),
            ((), ("--pad-crop", 0)),
            ((), ("--jitter", 0.3)),
            ((), ("--erasing", 0)),
            ((), ("--gray-patch", 0.9)),
            ((), ("--gray-image", 0.9)),
            ((), ("--policy", "autoaugment")),
            ((), ("--optimizer", "adamw")),
            ((), ("--optimizer", "sgd")),
            ((), ("--learning-rate", 1e-3)),
            ((), ("--weight-decay", 0.1)),
            ((), ("--warmup-epochs", 0)),
            (("--epochs", 2), MULTI_STEP),
            (("--epochs", 2), ("--schedule", "step", "--step-epochs", 1)),
            (MULTI_STEP, ("--decay", 0.5)),
            ((), ("--max-grad-norm", 0.1)),
            ((), ("--accumulate", 2)),
            ((), ("--ema", 0.9)),
            ((), ("--freeze-epochs", 1)),
            ((), ("--center-lr", 0.1)),
            ((), ("--seed", 1)),
            ((), ("--epochs", 2)),
            ((), CONTINUAL),
            (CONTINUAL, ("--eps", 0.05, "--min-samples", 2)),
            (CONTINUAL, ("--continual-lr", 1e-3)),
        )
    ),
]
# The tests of the other options, which have to name them.
ELSEWHERE = {
    "dataset": "test_training.py::test_several_datasets_are_trained_on_together",
    "root": "test_training.py::test_several_datasets_are_trained_on_together",
    "dataset_options": "test_training_options.py::test_dataset_options_reach_the_reader",
    "pretrained": "test_training_options.py::test_options_reach_the_network",
    "weights": "test_training_options.py::test_training_begins_with_the_weights_of_a_file",
    "projection_dim": "test_training_options.py::test_options_reach_the_network",
    "backbone_options": "test_vit.py::test_backbone_options_reach_the_network",
    **{
        name: "test_distillation.py::test_every_option_changes_the_weights"
        for name in ("teacher", "teacher_embedding_weight", "teacher_relation_weight", "teacher_angle_weight")
    },
    "class_balance": "test_training.py::test_class_balance_acts_where_identities_differ_in_images",
    "fused": "test_engine.py::test_options_of_the_optimiser_arrive",
    **{
        f"synthetic_{name}": "test_synthetic_training.py::test_labels_and_weights_follow_the_options"
        for name in ("labels", "ratio", "weight", "ckpt", "pseudo", "temperature")
    },
    "synthetic": "test_synthetic_training.py::test_ratio_zero_trains_as_without",
    "synthetic_statistics": "test_synthetic_training.py::test_batch_statistics_may_stay_those_of_real_images",
    "synthetic_start": "test_synthetic_training.py::test_ratio_zero_trains_as_without",
    "activation_checkpointing": "test_engine.py::test_options_of_the_optimiser_arrive",
    "unlabelled": "test_training.py::test_images_of_any_scored_test_make_it_transductive",
    "continual_on": "test_continual.py::test_training_images_of_another_target_are_inductive",
    "cross_domain": "test_training.py::test_the_cross_domain_set_is_scored",
    "cross_dataset": "test_training_options.py::test_the_cross_domain_set_is_read_as_what_it_is",
    **{
        name: "test_continual_training.py::test_options_reach_the_clustering"
        for name in ("min_samples", "cluster_k1", "cluster_k2", "camera_bias", "cluster_backend")
    },
    "continual_epochs": "test_continual_training.py::test_options_of_the_loop_act",
    "continual_step_epochs": "test_continual_training.py::test_options_of_the_loop_act",
    "workers": "test_training_options.py::test_cache_and_workers_act",
    "cache_megabytes": "test_training_options.py::test_cache_and_workers_act",
    "out": "test_training.py::test_yaml_of_a_run_starts_the_same_run",
    "eval_every": "test_training.py::test_training_learns_and_describes_itself",
    "resume": "test_resume.py::test_a_killed_training_goes_on_bit_for_bit",
    "state_every": "test_run_folder.py::test_states_are_written_when_they_are_told",
    "state_steps": "test_run_folder.py::test_states_are_written_when_they_are_told",
    "log": "test_training.py::test_wandb_gets_the_rows",
    "accelerate": "test_training.py::test_accelerate_is_always_on",
    "compile": "test_training.py::test_compiled_training_writes_the_same_names",
    "threads": "test_training.py::test_threads_act",
}
_weights: dict[tuple[object, ...], dict[str, torch.Tensor]] = {}


@pytest.mark.parametrize(("base", "change"), CHANGES, ids=lambda value: " ".join(map(str, value)))
def test_every_option_changes_the_weights(
    tiny_market: Path, tmp_path: Path, base: tuple[object, ...], change: tuple[object, ...]
) -> None:
    if base not in _weights:
        _weights[base] = train(tiny_market, tmp_path / "base", *base)[0]
    assert not equal(_weights[base], train(tiny_market, tmp_path / "changed", *base, *change)[0])


def test_the_list_of_options_is_whole(tiny_market: Path, tmp_path: Path) -> None:
    @functools.cache
    def values(*given: object) -> dict[str, object]:
        return option_values(options(tiny_market, tmp_path, *given))

    tested = set(ELSEWHERE)
    for base, change in CHANGES:
        before, after = values(*base), values(*base, *change)
        tested |= {name for name in before if before[name] != after[name]}
    assert tested == set(option_names(TrainConfig))


def test_the_other_tests_are_there_and_name_their_option() -> None:
    for option, place in ELSEWHERE.items():
        name, test = place.split("::")
        path = Path(__file__).with_name(name)
        text = path.read_text(encoding="utf-8")
        (found,) = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == test)
        first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
        body = "\n".join(text.splitlines()[first - 1 : found.end_lineno])
        assert option in body.replace("-", "_"), f"{place} does not name {option}"


def test_options_reach_the_network() -> None:
    options = NetworkOptions("timm:test_resnet", pretrained=True, weights=Path("x.safetensors"), projection_dim=8)
    assert options.model_options(3, 4) == {"pretrained": True, "weights": "x.safetensors", "projection_dim": 8}
    assert NetworkOptions().model_options(3, 4) == {}
    alone = NetworkOptions("timm:test_resnet", weights=Path("x.pth"))
    assert (
        alone.model_options(3, 4) == {} and alone.start_weights() == Path("x.pth") and options.start_weights() is None
    )


def test_vit_is_built_for_the_size_of_the_images_and_takes_the_papers_factor() -> None:
    size = {"height": 64, "width": 48}
    assert NetworkOptions("vit_small", **size).model_options(3, 4) == {"image_size": [64, 48]}
    own = NetworkOptions("vit_small", **size, backbone_options=("image-size=[32, 32]",))
    assert own.model_options(3, 4) == {"image_size": [32, 32]}
    for backbone, factor in (("vit_tiny", 3.0), ("swin_tiny", 1.0), ("cares18", 1.0)):
        assert NetworkOptions(backbone, sie=True).model_options(3, 4)["cam_factor"] == factor
    assert NetworkOptions("vit_tiny", sie=True, cam_factor=2.0).model_options(3, 4)["cam_factor"] == 2.0


@pytest.mark.parametrize("name", ["timm:test_resnet", "osnet_x0_25", "vit_tiny"])
def test_training_begins_with_the_weights_of_a_file(
    name: str, tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    donor = build_model(name, 3, **({"image_size": (48, 48)} if name == "vit_tiny" else {}))
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {f"module.{key}": value for key, value in donor.state_dict().items()}}, path)
    untrained = (tiny_market, tmp_path, "--backbone", name, "--epochs", 0, "--warmup-epochs", 0, "--height", 48)
    state, _ = train(*untrained, "--width", 48, "--weights", path)
    said = capsys.readouterr().out
    left = {key for key in state if not torch.equal(state[key], donor.state_dict().get(key, torch.empty(0)))}
    assert left <= {"head.classifier.weight", "head.classifier.bias"}
    assert f"weights.pth: {len(state) - len(left)} of {len(state)} tensors loaded" in said
    assert "taken off each name: module." in said and "head.classifier.weight (file (3, " in said


def test_weights_that_are_not_there_end_the_training(tiny_market: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.pth: no such file of weights"):
        train(tiny_market, tmp_path, *LIGHT, "--weights", tmp_path / "x.pth")


def test_a_network_is_given_the_size_that_it_is_made_for() -> None:
    sizes = {(): (192, 96), (128, 64): (128, 64), (256,): (256, 96)}
    for given, size in sizes.items():
        found = NetworkOptions("reidlite", **dict(zip(("height", "width"), given, strict=False))).preprocessing()
        assert (found.height, found.width) == size
    usual = NetworkOptions().preprocessing()
    assert (usual.height, usual.width) == (256, 128)
    assert ReIDModel("reidlite").preprocessing == NetworkOptions("reidlite").preprocessing()
    assert NetworkOptions("vit_tiny").model_options(3, 4) == {"image_size": [256, 128]}


def test_dataset_options_reach_the_reader(tiny_market: Path, tmp_path: Path) -> None:
    files = sorted((tiny_market / "bounding_box_train").iterdir())
    table = tmp_path / "images.csv"
    table.write_text("path,pid\n" + "".join(f"{path},{path.name[:4]}\n" for path in files))
    counts = []
    for given in ((), ("--dataset-options", "test-fraction=0.75")):
        data = options(table, tmp_path, "--dataset", "folder", *given).data
        read = read_training_data(data.names(), data.folders(), data.options(), lambda text: None)
        counts.append(len(set(read.labels())))
    assert counts == [4, 2]


def test_the_cross_domain_set_is_read_as_what_it_is(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(name: str, folder: Path, say: object) -> None:
        raise ValueError(f"read {name} from {folder}")

    monkeypatch.setattr("reid.image_reid_train.read_test_set", read)
    for given, name in ((("--cross-dataset", "dukemtmc"), "dukemtmc"), ((), "market1501")):
        with pytest.raises(ValueError, match=f"read {name} from OTHER"):
            train(tiny_market, tmp_path, "--cross-domain", "OTHER", *given)


def test_cache_and_workers_act(tiny_market: Path, tmp_path: Path) -> None:
    samples = [Sample(str(path), 1, 0, 0, "") for path in sorted((tiny_market / "query").iterdir())]
    sampler = PKBatchSampler([0] * len(samples), 1, 4, seed=0)
    loaders = []
    for cache in (100, 0):
        loading = options(tiny_market, tmp_path, "--workers", 1, "--cache-megabytes", cache).loading
        numbers = (loading.workers, loading.cache_megabytes)
        loaders.append(training_loader(samples, {1: 0}, Preprocessing(32, 16), sampler, *numbers))
    assert [loader.num_workers for loader in loaders] == [0, 1]
    batches = [[batch["images"] for batch in loader] for loader in loaders]
    assert all(torch.equal(first, second) for first, second in zip(*batches, strict=True))
    assert batches[0][0].dtype == torch.uint8 and batches[0][0].shape == (4, 3, 32, 16)


# Options of continual training that others, or the images, leave without effect.
WITHOUT_EFFECT: list[tuple[list[object], str]] = [
    (["--unlabelled", "DIR", "--continual-on", "test"], "allowed: one of them"),
    (["--continual-on", "train"], "without --cross-domain"),
    (["--cross-dataset", "market1501"], "without --cross-domain"),
    (["--continual-epochs", 0, "--continual-lr", 1e-3], "continual_lr: got 0.001 with continual_epochs 0"),
    (["--continual-epochs", 3, "--continual-step-epochs", 3], "allowed: below the 3 continual_epochs"),
]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--bs", 30], "multiple of num_instances"),
        (["--instance", 0], "1 or more"),
        (["--bs", 64], "at most the 8 identities"),
        (["--epochs", -1], "epochs"),
        (["--eval-every", -1], "eval_every"),
        (["--eval-every", 2], "eval_every: got 2, allowed: 0 to the 1 epochs"),
        (["--threads", -1], "threads"),
        (["--no-accelerate"], "accelerate: got False, allowed: True"),
        (["--sampler", "random", "--triplet-weight", 0, "--num-instances", 4], "num_instances: got 4 with sampler"),
        (["--center-weight", 0, "--center-lr", 0.5], "center_lr: got 0.5 with center_weight 0"),
        (["--schedule", "step", "--step-epochs", 1], "step_epochs: got 1, allowed: below the 1 epochs"),
        (["--schedule", "multi-step", "--milestones", 1], "milestones: got 1, allowed: below the 1 epochs"),
        *((["--continual", *more], message) for more, message in WITHOUT_EFFECT),
        *(([flag], "camera_bias: got") for flag in ("--camera-bias", "--no-camera-bias")),
        (["--backbone", "resnet"], "backbone: got 'resnet', allowed: "),
        (["--backbone", "seres18", "--attention", "triplet"], "unknown option attention"),
        (["--cross-entropy-weight", 0, "--triplet-weight", 0, "--center-weight", 0], "every loss term is 0"),
        (["--cam-factor", 1], "without --sie"),
        (["--eps", 0.5], "without --continual"),
        (["--triplet", "weighted-regularised", "--margin", 0.3], "which has none"),
        (["--triplet-weight", 0, "--margin", 0.3], "triplet_weight 0"),
        (["--circle-gamma", 64], "circle_weight 0"),
        (["--renorm-pk"], "without --renorm"),
        (["--sie", "--cross-domain", "DIR"], "cross_domain: got a folder with --sie"),
        (["--root", "x/../DIR", "--cross-domain", "DIR"], "cross_domain: got DIR, which is the training set"),
        (["--sie", "--continual", "--unlabelled", "DIR"], "unlabelled: got a folder with --sie"),
        (["--milestones", 3], "only together with schedule multi-step"),
        (["--schedule", "step"], "which needs it"),
        (["--decay", 0.1], "with multi-step and step"),
        (["--sampler", "random"], "needs pairs"),
        (["--activation-checkpointing", "--compile"], "one of them"),
        (["--freeze-epochs", 2], "0 to the 1 epochs"),
        (["--pretrained"], "pretrained: got True with cares18, allowed: with timm:NAME; give --weights FILE"),
        (["--dataset", "market1501", "dukemtmc"], "one for each dataset"),
        (["--dataset", "nowhere"], "allowed: world, market1501"),
        (["--dataset-options", "level=hard"], "dataset_options: got level, allowed: none of market1501"),
        (["--dataset-options", "hard"], "NAME=VALUE"),
    ],
    ids=str,
)
def test_bad_options_are_refused(
    tiny_market: Path, tmp_path: Path, given: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((ValueError, SystemExit)) as error:
        train(tiny_market, tmp_path, *given)
    assert message in " ".join((str(error.value) + "".join(capsys.readouterr())).replace("│", " ").split())
