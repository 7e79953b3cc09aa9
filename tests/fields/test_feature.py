"""The feature field: its linear head behind the compositing, its colours; and the loss on its features."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.fields.feature import FeatureColors, FeatureField
from nto3d.training.losses import feature_distance

GEOMETRY, COLOR, HIDDEN, CHANNELS = 5, 6, 16, 24


def field(seed: int = 0) -> FeatureField:
    torch.manual_seed(seed)
    return FeatureField(GEOMETRY, COLOR, HIDDEN, CHANNELS)


def inputs(count: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    position, geometry, color = (
        torch.randn(count, width, generator=generator, dtype=dtype) for width in (3, GEOMETRY, COLOR)
    )
    return position, geometry, color


def on_an_arc(count: int = 101, half: float = 0.5) -> Tensor:
    """Unit vectors [count, 2] whose second entries are even steps from -half to half."""
    sine = torch.linspace(-half, half, count)
    return torch.stack([(1 - sine**2).sqrt(), sine], dim=1)


def test_compositing_hidden_layers_and_decoding_once_is_compositing_features() -> None:
    rays, samples = 7, 11
    model = field().double()
    seen = inputs(rays * samples, torch.float64)
    weights = torch.rand(rays, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights = weights / weights.sum(dim=1, keepdim=True) * torch.linspace(0, 1, rays, dtype=torch.float64)[:, None]
    features = model(*seen).view(rays, samples, CHANNELS)
    expected = (weights[..., None] * features).sum(dim=1)
    embedded = (weights[..., None] * model.embed(*seen).view(rays, samples, HIDDEN)).sum(dim=1)
    found = model.decode(embedded, weights.sum(dim=1))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert bool((found[0] == 0).all())  # nothing seen, nothing said: the bias is weighted as well
    assert float(found[-1].detach().abs().max()) > 0.1


def test_one_neuron_by_hand() -> None:
    model = FeatureField(1, 1, 2, 2)
    with torch.no_grad():
        model.hidden.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 10.0, 0.0], [0.0, 1.0, 0.0, 0.0, -1.0]]))
        model.hidden.bias.copy_(torch.tensor([0.5, 0.0]))
        model.out.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
        model.out.bias.copy_(torch.tensor([100.0, 200.0]))
    positions, geometry, color = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.25]]), torch.tensor([[5.0]])
    assert model.embed(positions, geometry, color).tolist() == [[4.0, 0.0]]  # 1 + 10 / 4 + 1/2; 2 - 5 is negative
    assert model(positions, geometry, color).tolist() == [[104.0, 196.0]]
    # Half of a ray sees it: half of everything, the bias included.
    assert model.decode(torch.tensor([[2.0, 0.0]]), torch.tensor([0.5])).tolist() == [[52.0, 98.0]]


def test_an_untrained_head_answers_about_the_mean_and_shows_colours() -> None:
    model = field()
    seen = inputs(200)
    before = model(*seen).detach()
    generator = torch.Generator().manual_seed(5)
    features = torch.tensor([4.0, -2.0] * (CHANNELS // 2)) + torch.randn(500, CHANNELS, generator=generator)
    spread = before - before.mean(dim=0)
    model.start_at(features)
    after = model(*seen).detach()
    mean = features.mean(dim=0)
    assert float(functional.cosine_similarity(after, mean.expand_as(after), dim=1).min()) > 0.999
    # A tenth of what it said before varies on: it still has somewhere to learn from.
    torch.testing.assert_close(after - after.mean(dim=0), 0.1 * spread, rtol=0, atol=1e-5)
    assert float(spread.abs().max()) > 0.1
    torch.testing.assert_close(model.decode(torch.zeros(1, HIDDEN), torch.ones(1))[0], mean)
    shown = model.colors(features)
    assert float(shown.amax(dim=0).min()) == 1.0
    assert float(shown.amin(dim=0).max()) == 0.0
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_gradients_reach_positions_geometry_and_colour_and_the_head() -> None:
    model = field()
    seen = [value.requires_grad_() for value in inputs(40)]
    found = torch.autograd.grad(model(*seen).square().sum(), [*seen, *model.parameters()])
    for value, gradient in zip(seen, found, strict=False):
        assert bool((gradient.abs().amax(dim=1) > 0).all()), value.shape
    for gradient in found[3:]:
        assert float(gradient.abs().max()) > 0


def test_everything_is_black_before_a_basis_is_known() -> None:
    colors = FeatureColors(8)
    assert bool((colors(torch.randn(30, 8)) == 0).all())


def test_colours_by_hand() -> None:
    """Directions on an arc: the first component is the sine, stretched from its 1st to its 99th percentile."""
    lengths = torch.linspace(0.1, 30.0, 101)[:, None]  # do not count
    colors = FeatureColors(2)
    colors.fit(on_an_arc() * lengths)
    # The sines' percentiles are -0.49 and 0.49.
    sine = torch.tensor([-0.6, -0.49, -0.245, 0.0, 0.245, 0.49, 0.6])
    shown = colors(torch.stack([(1 - sine**2).sqrt(), sine], dim=1) * torch.tensor([[3.0]] * 4 + [[0.01]] * 3))
    expected = torch.tensor([0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
    torch.testing.assert_close(shown[:, 0], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(shown[:, 1], shown[:, 1].flip(0), rtol=0, atol=1e-3)  # the cosine is even
    assert bool((shown[:, 2] == 0).all())  # two channels have no third component


def test_colours_lie_between_0_and_1_and_use_the_whole_of_it() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2000, 12, generator=generator) + 0.5
    colors = FeatureColors(12)
    colors.fit(features)
    shown = colors(torch.cat([features, 1e4 * torch.randn(500, 12, generator=generator), torch.zeros(3, 12)]))
    assert bool(((shown >= 0) & (shown <= 1)).all())
    low, high = shown[:2000].amin(dim=0), shown[:2000].amax(dim=0)
    assert (low.tolist(), high.tolist()) == ([0.0] * 3, [1.0] * 3)
    clipped = ((shown[:2000] == 0) | (shown[:2000] == 1)).float().mean(dim=0)
    assert float(clipped.max()) < 0.03  # one percent at either end


@pytest.mark.parametrize("channel", [1, 3])
def test_the_sign_of_a_colour_is_that_of_its_largest_channel(channel: int) -> None:
    """Mirrored along it, the same set of features: colours must not turn over with the order they come in."""
    sine = torch.linspace(-0.5, 0.5, 101)
    features = torch.zeros(101, 4)
    features[:, channel], features[:, 0] = sine, (1 - sine**2).sqrt()
    for order in (torch.arange(101), torch.arange(101).flip(0), torch.randperm(101, generator=torch.Generator())):
        colors = FeatureColors(4)
        colors.fit(features[order])
        red = colors(features)[:, 0]
        assert (float(red[0]), float(red[-1])) == (0.0, 1.0)
        assert bool((red[1:] >= red[:-1]).all())
    again = FeatureColors(4)
    again.fit(features[order])
    assert torch.equal(again.axes, colors.axes)


def test_features_that_differ_along_three_axes_get_colours_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    middle = torch.zeros(10)
    middle[0] = 5.0
    moves = torch.eye(10)[[2, 5, 7]] * torch.tensor([[2.0], [1.5], [1.0]])
    signs = torch.randint(0, 2, (4000, 3), generator=generator) * 2.0 - 1.0
    colors = FeatureColors(10)
    colors.fit(middle + signs @ moves + 0.01 * torch.randn(4000, 10, generator=generator))
    for component in range(3):
        ends = colors(torch.stack([middle - moves[component], middle + moves[component]]))
        change = (ends[1] - ends[0]).tolist()
        assert change[component] > 0.8
        assert all(abs(other) < 0.1 for index, other in enumerate(change) if index != component)


def test_a_single_feature_has_a_colour() -> None:
    for features in (torch.ones(1, 6), torch.ones(50, 6), torch.zeros(4, 6)):
        colors = FeatureColors(6)
        colors.fit(features)
        shown = colors(features)
        assert bool(((shown >= 0) & (shown <= 1)).all())


def test_a_field_and_its_colours_survive_a_state_dict() -> None:
    model, other = field(), field(seed=9)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(300, CHANNELS, generator=generator)
    model.start_at(features)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(other.colors(features), model.colors(features))
    assert float(other.colors(features).max()) == 1.0
    assert torch.equal(other(*inputs(20)), model(*inputs(20)))


def test_feature_distance_by_hand() -> None:
    encoded = torch.tensor([[3.0, 4.0]] * 5)
    rendered = torch.tensor([[3.0, 4.0], [-3.0, -4.0], [6.0, 8.0], [-4.0, 3.0], [0.0, 0.0]])
    # Equal; opposite: 1 + 1 and (6^2 + 8^2) / 50; twice as long: 0 and 25 / 50; square on; nothing rendered.
    expected = torch.tensor([0.0, 4.0, 0.5, 2.0, 1.5])
    torch.testing.assert_close(feature_distance(rendered, encoded, 50.0), expected, rtol=0, atol=1e-6)


def test_feature_distance_of_equal_directions_is_that_of_the_lengths_over_the_scale() -> None:
    encoded = torch.tensor([[0.0, 2.0, 0.0]])
    for factor in (0.5, 1.0, 1.5, 3.0):
        for scale in (1.0, 4.0, 64.0):  # whose roots are not ten times the length of what is rendered
            expected = 4.0 * (factor - 1.0) ** 2 / scale
            assert float(feature_distance(factor * encoded, encoded, scale)) == pytest.approx(expected, abs=1e-6)


def test_a_feature_far_shorter_than_usual_has_little_direction() -> None:
    """The usual length is 5: half of a tenth of it counts as half of the direction."""
    encoded = torch.tensor([[3.0, 4.0]])
    distance = float(feature_distance(0.05 * encoded, encoded, 25.0))
    assert distance == pytest.approx(1.0 - 0.5 + 0.95**2, abs=1e-5)


def test_feature_distance_has_a_finite_gradient_where_nothing_is_rendered() -> None:
    rendered = torch.zeros(1, 2, requires_grad=True)
    feature_distance(rendered, torch.tensor([[3.0, 4.0]]), 25.0).sum().backward()
    assert rendered.grad is not None
    assert bool(torch.isfinite(rendered.grad).all())
    assert math.isclose(float(rendered.grad[0, 0] / rendered.grad[0, 1]), 0.75, rel_tol=1e-4)  # towards the encoded
    assert -10.0 < float(rendered.grad[0, 0]) < 0
