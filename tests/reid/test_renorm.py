import copy

import pytest
import torch
from torch import nn

from reid.models import build_model
from reid.models.renorm import BatchRenorm1d, BatchRenorm2d, convert_to_renorm


def plain_step(
    x: torch.Tensor, running: tuple[torch.Tensor, torch.Tensor], r_max: float, d_max: float, instances: int
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """One training step of (B, C, H, W), a channel and an identity at a time, without scale and shift."""
    y, means, variances = torch.empty_like(x), [], []
    for c in range(x.shape[1]):
        values = x[:, c]
        mean = values.mean()
        variance = (values - mean).square().mean()
        if instances:
            groups = [values[i : i + instances] for i in range(0, len(values), instances)]
            within = sum((g - g.mean()).square().mean() for g in groups) / len(groups)
            variance = within + sum((g.mean() - mean) ** 2 for g in groups) / (len(groups) - 1)
        sigma = (running[1][c] + 1e-5).sqrt()
        s = (variance + 1e-5).sqrt()
        r = float((s / sigma).clamp(1 / r_max, r_max))
        d = float(((mean - running[0][c]) / sigma).clamp(-d_max, d_max))
        y[:, c] = (values - mean) / s * r + d
        means.append(0.9 * running[0][c] + 0.1 * mean)
        variances.append(0.9 * running[1][c] + 0.1 * variance)
    return y, (torch.stack(means), torch.stack(variances))


@pytest.mark.parametrize("instances", [0, 4])
def test_steps_equal_a_plain_loop_through_the_ramp(instances: int) -> None:
    layer = BatchRenorm2d(3, instances=instances, warmup=2)
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    running = (torch.zeros(3), torch.ones(3))
    generator = torch.Generator().manual_seed(0)
    scale, shift = layer.weight.view(1, 3, 1, 1), layer.bias.view(1, 3, 1, 1)
    for step in range(20):
        x = 2 + 3 * torch.randn(12, 3, 4, 2, generator=generator)
        r_max = 1 + 2 * min(1.0, max(0.0, (step - 2) / 14))
        d_max = 5 * min(1.0, max(0.0, (step - 2) / 8))
        y, running = plain_step(x, running, r_max, d_max, instances)
        assert torch.allclose(layer(x), y * scale + shift, atol=1e-4)
    assert torch.allclose(layer.running_mean, running[0], atol=1e-5)
    assert torch.allclose(layer.running_var, running[1], rtol=1e-5)
    layer.eval()
    x = torch.randn(2, 3, 4, 2)
    normal = (x - running[0].view(1, 3, 1, 1)) / (running[1].view(1, 3, 1, 1) + 1e-5).sqrt()
    assert torch.allclose(layer(x), normal * scale + shift, atol=1e-4)


def test_warm_up_is_batch_normalisation_with_its_gradients() -> None:
    renorm, norm = BatchRenorm1d(5, warmup=3), nn.BatchNorm1d(5)
    for _ in range(4):
        x = torch.randn(6, 5)
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        (renorm(ours) ** 3).sum().backward()
        (norm(theirs) ** 3).sum().backward()
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4)
        assert torch.allclose(renorm.weight.grad, norm.weight.grad, rtol=1e-3)
        assert torch.allclose(renorm.running_mean, norm.running_mean)
    assert not torch.allclose(renorm(x + 1), norm(x + 1), atol=1e-2)


def test_after_the_ramp_training_sees_what_inference_sees() -> None:
    torch.manual_seed(0)
    layer = BatchRenorm1d(4, warmup=1)
    for _ in range(40):
        layer(3 + 2 * torch.randn(64, 4))
    x = 3 + 2 * torch.randn(16, 4)  # far within the limits of r and d
    seen = copy.deepcopy(layer).eval()(x)
    assert torch.allclose(layer.train()(x), seen, atol=1e-4)


def test_no_gradient_flows_through_r_and_d() -> None:
    layer = BatchRenorm1d(2, warmup=0)
    layer.num_batches_tracked += 100
    x = torch.randn(8, 2, requires_grad=True)
    layer(x).sum().backward()
    # The sum of normalised values does not depend on x when r and d are constants.
    assert torch.allclose(x.grad, torch.zeros_like(x), atol=1e-6)


def test_identity_wise_variance_is_unbiased_where_the_plain_one_is_too_small() -> None:
    generator = torch.Generator().manual_seed(0)
    # Each channel is an experiment of its own.
    plain, grouped = (BatchRenorm1d(1000, momentum=None, instances=instances) for instances in (0, 4))
    for _ in range(10):
        people = 2 * torch.randn(4, 1, 1000, generator=generator)  # variance between people 4, within 1
        x = (people + torch.randn(4, 4, 1000, generator=generator)).view(16, 1000)
        plain(x)
        grouped(x)
    assert grouped.running_var.mean().item() == pytest.approx(5.0, abs=0.15)
    assert plain.running_var.mean().item() == pytest.approx(5.0 - 4.0 / 4 - 1.0 / 16, abs=0.15)


def test_identity_wise_batches_are_checked() -> None:
    with pytest.raises(ValueError, match="got 6 images, allowed: a multiple of renorm_instances"):
        BatchRenorm1d(3, instances=4)(torch.randn(6, 3))
    assert BatchRenorm1d(3, instances=4).eval()(torch.randn(6, 3)).shape == (6, 3)
    one = BatchRenorm1d(3, instances=4)(torch.randn(4, 3))  # a single identity
    assert torch.isfinite(one).all()


@pytest.mark.parametrize("options", [{"renorm": "batch"}, {"renorm": "pk", "renorm_instances": 2}])
def test_every_batch_norm_is_converted_and_weights_carry_over_both_ways(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    usual = build_model("cares18", 3)
    torch.manual_seed(0)
    model = build_model("cares18", 3, **options)
    kinds = {type(module).__name__ for module in model.modules() if "Norm" in type(module).__name__}
    assert not any(isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) for module in model.modules()), kinds
    assert list(model.state_dict()) == list(usual.state_dict())
    assert all(torch.equal(value, usual.state_dict()[name]) for name, value in model.state_dict().items())
    assert not model.head.bottleneck.bias.requires_grad
    images = torch.randn(4, 3, 64, 32)
    model.train()(images)
    usual.load_state_dict(model.state_dict())
    assert torch.allclose(usual.eval()(images).embeddings, model.eval()(images).embeddings, atol=1e-5)


def test_options_change_the_training_and_state_resumes() -> None:
    def outputs(steps: int = 6, **options: object) -> torch.Tensor:
        torch.manual_seed(0)
        model = build_model("timm:test_resnet", **options).train()
        with torch.no_grad():
            for _ in range(steps):
                result = model(torch.randn(8, 3, 32, 32)).embeddings
        return result

    batch = outputs(renorm="batch", renorm_warmup=1)
    assert not torch.allclose(batch, outputs())
    assert not torch.allclose(batch, outputs(renorm="batch", renorm_warmup=3))
    pairs = outputs(renorm="pk", renorm_instances=2, renorm_warmup=1)
    assert not torch.allclose(pairs, batch)
    assert not torch.allclose(pairs, outputs(renorm="pk", renorm_instances=4, renorm_warmup=1))
    model = build_model("timm:test_resnet", renorm="batch", renorm_warmup=1).train()
    for _ in range(3):
        model(torch.randn(8, 3, 32, 32))
    resumed = build_model("timm:test_resnet", renorm="batch", renorm_warmup=1).train()
    resumed.load_state_dict(model.state_dict())
    images = torch.randn(8, 3, 32, 32)
    assert torch.equal(resumed(images).embeddings, model(images).embeddings)


def test_activations_of_timm_survive_the_conversion() -> None:
    import timm

    torch.manual_seed(0)
    usual = timm.create_model("mobilenetv3_small_050", num_classes=0)
    converted = copy.deepcopy(usual)
    assert convert_to_renorm(converted) == sum(isinstance(module, nn.BatchNorm2d) for module in usual.modules())
    images = torch.randn(2, 3, 64, 32)
    for mode in (False, True):
        assert torch.allclose(usual.train(mode)(images), converted.train(mode)(images), atol=1e-4)
    assert list(usual.state_dict()) == list(converted.state_dict())


def test_bf16_autocast_keeps_full_precision_statistics() -> None:
    layer = BatchRenorm2d(3, warmup=0)
    x = 100 + torch.randn(8, 3, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x.bfloat16())
    assert torch.isfinite(y.float()).all() and layer.running_mean.dtype == torch.float32
    assert torch.allclose(layer.running_mean, 0.1 * x.bfloat16().float().mean(dim=(0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"renorm": "yes"}, "renorm: got 'yes', allowed: off, batch, pk"),
        ({"renorm": "pk"}, "renorm_instances: got 0, allowed: 2 or more"),
        ({"renorm": "batch", "renorm_instances": 4}, "renorm_instances: got 4 with renorm batch, allowed: 0"),
        ({"renorm": "batch", "renorm_warmup": -1}, "renorm_warmup: got -1"),
        ({"num_cameras": -1}, "num_cameras: got -1"),
        ({"cam_factor": -1.0}, "cam_factor: got -1.0"),
        ({"cam_factor": 1.0}, "cam_factor: got 1.0 with num_cameras 0"),
        (
            {"renom": "pk"},
            "unknown option renom; allowed: attention, ibn, pooling, last_stride, renorm",
        ),
    ],
)
def test_contradictory_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model("cares18", **options)
