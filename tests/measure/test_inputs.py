import pytest
import torch
from torch import nn

from thalweg.measure.inputs import describe_inputs, scale_effect, standardized

G = torch.Generator().manual_seed(0)


def values(inputs):
    return {(r.name, r.place): r.value for r in describe_inputs(inputs)}


def test_columns_of_a_table():
    x = torch.randn(500, 4, generator=G) * torch.tensor([1.0, 1000.0, 1.0, 1.0]) + torch.tensor([0.0, 0.0, 9.0, 0.0])
    x[:, 3] = 7.0
    found = values(x)
    assert found["input.constant", ""] == 1
    expected = x[:, 1].square().mean().sqrt() / x[:, 0].square().mean().sqrt()
    assert found["input.ratio", ""] == pytest.approx(float(expected), rel=1e-5)
    assert found["input.offset", ""] == pytest.approx(9.0, rel=0.1)


def test_images_by_channel_and_one_hot_columns():
    images = torch.rand(20, 3, 8, 8, generator=G)
    assert values(images)["input.rms", ""] == pytest.approx(3**-0.5, rel=0.02)
    one_hot = torch.eye(10)[torch.randint(0, 10, (200,), generator=G)]
    found = values(one_hot)
    assert found["input.binary", ""] == 1
    assert found["input.ratio", ""] == 1


def test_several_inputs_are_named_and_indices_left_out():
    found = values({"numbers": torch.randn(9, 2), "words": torch.zeros(9, 4, dtype=torch.long)})
    assert {place for _, place in found} == {"numbers"}
    assert describe_inputs(torch.zeros(9, 4, dtype=torch.long)) == []


@pytest.mark.parametrize("shape", [(400, 3), (100, 5, 3), (50, 3, 6, 6)])
def test_standardized_columns_have_mean_0_and_deviation_1(shape):
    x = 40 * torch.randn(shape, generator=G, dtype=torch.float64) + 300
    y = standardized(x, x)
    last = y.movedim(1, -1) if len(shape) == 4 else y
    torch.testing.assert_close(last.flatten(0, -2).mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(last.flatten(0, -2).std(0, correction=0), torch.ones(3, dtype=torch.float64))
    assert bool(standardized(torch.ones(9, 2), torch.ones(9, 2)).eq(0).all())


def test_a_first_normalization_undoes_any_scale():
    x = 255 * torch.rand(64, 3, 4, 4, generator=G)
    behind = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2))
    bare = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    assert scale_effect(behind, x)[0].value < 1e-2
    assert scale_effect(bare, x)[0].value > 0.5
    assert scale_effect(nn.Embedding(3, 2), torch.zeros(4, dtype=torch.long)) == []


def test_a_pixel_that_is_rarely_on_is_no_small_unit(digits):
    """Border pixels of the digits are on in 1 of 1,000 images; ages beside incomes are two units."""
    found = {r.name: r.value for r in describe_inputs(digits[0])}
    assert found["input.ratio"] < 20
    table = torch.stack([torch.rand(500) * 60 + 20, torch.rand(500) * 90_000], 1)
    assert {r.name: r.value for r in describe_inputs(table)}["input.ratio"] > 500
