"""Examples to learn from, by hand: what moves together, what is mirrored, and what counts as occupied."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nto3d.mcc.batches import (
    PLAIN,
    Augmentation,
    Example,
    Places,
    Subject,
    _movement,
    collate,
    generator,
    make_example,
    make_subject,
)
from tests.mcc.formula import SMALL as SIZES

ON_SURFACE = Places(count=64, near=1.0, spread=1e-9)
View = tuple[np.ndarray, np.ndarray, np.ndarray]


def bowl() -> View:
    """A picture of 16 x 16 pixels, as many as the point map has, and a lopsided piece of a surface in it."""
    y, x = np.mgrid[:16, :16].astype(np.float64)
    image = np.stack([10 * x, 10 * y, 100 + 0 * x], axis=-1).astype(np.uint8)
    mask = (x > 2) & (y > 4) & (x + y < 26)
    mask[0, 0] = mask[15, 15] = mask[0, 15] = mask[15, 0] = True  # so that the crop is the whole picture
    return image, np.stack([x - 4, y - 9, 30 + 0.1 * x * x + 0.05 * y * y], axis=-1), mask


def subject_of(view: View) -> Subject:
    """The seen points are the whole surface; a point's colour is its pixel's."""
    image, points, mask = view
    return make_subject(image, points, mask, points[mask], image[mask], SIZES, margin=0)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_of(bowl())


def at_origin() -> Subject:
    """A surface of one green point at the origin, which stretching and turning leave there."""
    seen = subject_of(bowl())
    return dataclasses.replace(
        seen,
        surface=np.zeros((1, 3), dtype=np.float32),
        rgb=np.array([[0, 200, 0]], dtype=np.uint8),
        place=np.eye(3, 4),
    )


def nearest(places: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cdist(places.double(), others.double()).min(dim=1)


class Fixed:
    """Deviates of `uniform` in the order of the calls."""

    def __init__(self, *answers: tuple[float, float, float]) -> None:
        self.answers = list(answers)

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        assert size == 3
        return np.array(self.answers.pop(0))


def test_surface_is_normalized_by_what_is_seen(subject: Subject) -> None:
    _, points, mask = bowl()
    assert subject.normalized.mean(axis=0).tolist() == pytest.approx([0.0] * 3, abs=1e-6)
    assert subject.normalized.std(axis=0, ddof=1).mean() == pytest.approx(1.0, rel=1e-6)
    # x and y are turned around, z is not
    scale = points[mask].std(axis=0, ddof=1).mean()
    step = (subject.points[8, 9] - subject.points[8, 8]) * scale
    assert step.tolist() == pytest.approx([-1.0, 0.0, 0.1 * (81 - 64)], abs=1e-4)


def test_unaugmented_example_is_the_view(subject: Subject) -> None:
    example = make_example(subject, Places(), PLAIN, generator(0, 0, 0))
    assert torch.equal(example.image, subject.image / 255)
    assert torch.equal(example.valid, subject.valid)
    assert torch.allclose(example.points, subject.points, atol=1e-6)
    assert example.places.shape == (550, 3)
    assert example.rgb.dtype == torch.uint8


def test_answers_are_those_of_the_nearest_surface_point(subject: Subject) -> None:
    example = make_example(subject, Places(count=400, near=0.5), PLAIN, generator(1, 2, 3))
    distance, index = nearest(example.places, torch.from_numpy(subject.normalized))
    assert torch.equal(example.occupied, distance < 0.1)
    assert torch.equal(example.rgb, torch.from_numpy(subject.rgb)[index])
    assert 20 < int(example.occupied.sum()) < 380


def test_uniform_places_come_first(subject: Subject) -> None:
    example = make_example(subject, Places(count=2000, near=0.25, spread=0.15), PLAIN, generator(4, 0, 0))
    uniform = example.places[:1500]
    assert uniform.abs().max() <= 3.0
    assert uniform.mean(dim=0).tolist() == pytest.approx([0.0] * 3, abs=0.2)
    assert uniform.std(dim=0).tolist() == pytest.approx([3**0.5] * 3, abs=0.08)  # 6 / sqrt(12)
    # a normal deviate of three axes is 0.15 * 4.5 long in one of a hundred thousand
    distance, _ = nearest(example.places[1500:], torch.from_numpy(subject.normalized))
    assert float(distance.max()) < 0.15 * 4.5
    assert example.occupied[1500:].float().mean() > 3 * example.occupied[:1500].float().mean()


def test_a_flip_is_the_view_of_a_mirrored_world(subject: Subject) -> None:
    image, points, mask = bowl()
    mirrored = subject_of((image[:, ::-1], points[:, ::-1] * (-1.0, 1.0, 1.0), mask[:, ::-1]))
    example = make_example(subject, ON_SURFACE, Augmentation(0.0, 0.0, 0.0, flip=1.0), generator(0, 0, 0))
    assert torch.allclose(example.image, mirrored.image / 255, atol=2 / 255)
    assert torch.equal(example.valid, mirrored.valid)
    assert torch.allclose(example.points, mirrored.points, atol=1e-5)
    distance, index = nearest(example.places, torch.from_numpy(mirrored.normalized))
    assert float(distance.max()) < 1e-5
    assert torch.equal(example.rgb, torch.from_numpy(mirrored.rgb)[index])
    assert not torch.allclose(example.points, subject.points, atol=1e-2)


def test_half_of_the_examples_are_flipped(subject: Subject) -> None:
    plan = Augmentation(0.0, 0.0, 0.0, flip=0.5)
    flipped = [
        not torch.equal(make_example(subject, ON_SURFACE, plan, generator(0, 0, index)).image, subject.image / 255)
        for index in range(60)
    ]
    assert 15 <= sum(flipped) <= 45


def test_movement_stretches_then_shifts_then_turns_about_x_y_z() -> None:
    deviates = Fixed((2.0, 3.0, 5.0), (0.5, 0.0, 0.0), (90.0, 0.0, 90.0))
    matrix, offset = _movement(Augmentation(), deviates)  # type: ignore[arg-type]
    # about x: y to z, z to -y; then about z: x to y, y to -x
    assert matrix @ [1.0, 0.0, 0.0] == pytest.approx([0.0, 2.0, 0.0])
    assert matrix @ [0.0, 1.0, 0.0] == pytest.approx([0.0, 0.0, 3.0])
    assert matrix @ [0.0, 0.0, 1.0] == pytest.approx([5.0, 0.0, 0.0])
    assert offset == pytest.approx([0.0, 0.5, 0.0])


@pytest.mark.parametrize("index", range(3))
def test_points_and_surface_move_together(subject: Subject, index: int) -> None:
    example = make_example(subject, ON_SURFACE, Augmentation(), generator(5, 0, index))
    distance, _ = nearest(example.places, example.points[example.valid])
    assert float(distance.max()) < 1e-5
    assert not example.points[~example.valid].any()
    assert not torch.allclose(example.points, subject.points, atol=0.1)
    assert bool(example.occupied.all())


def test_movements_are_proper_and_bounded() -> None:
    plan = Augmentation(scale=0.2, shift=0.5, degrees=10.0)
    for index in range(50):
        matrix, offset = _movement(plan, generator(6, 0, index))
        stretch = np.linalg.norm(matrix, axis=0)
        assert (np.abs(stretch - 1.0) <= 0.2).all()
        assert np.linalg.norm(offset) <= 0.5 * 3**0.5
        turn = matrix / stretch
        assert turn.T @ turn == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        assert np.trace(turn) >= 1.0 + 2.0 * np.cos(np.radians(30.0))  # three turns of at most 10 degrees


def test_the_shell_and_the_box_are_not_stretched() -> None:
    plan = Augmentation(scale=0.5, shift=0.0, degrees=180.0)
    places = Places(count=3000, near=0.0, extent=1.5, distance=1.0)
    example = make_example(at_origin(), places, plan, generator(7, 0, 0))
    assert torch.equal(example.occupied, example.places.double().norm(dim=1) < 1.0)
    assert example.occupied.float().mean() == pytest.approx(4.18879 / 27, abs=0.02)
    assert example.places.abs().max(dim=0).values.tolist() == pytest.approx([1.5] * 3, abs=0.01)
    assert example.rgb.unique(dim=0).tolist() == [[0, 200, 0]]


def test_random_numbers_belong_to_seed_step_and_index(subject: Subject) -> None:
    def made(*key: int) -> Example:
        return make_example(subject, Places(count=8), Augmentation(), generator(*key))

    assert torch.equal(made(1, 2, 3).places, made(1, 2, 3).places)
    others = [made(*key).places for key in ((1, 2, 3), (0, 2, 3), (1, 0, 3), (1, 2, 0), (3, 2, 1))]
    for k, one in enumerate(others):
        assert not any(torch.allclose(one, two) for two in others[k + 1 :])


def test_collate_keeps_the_order_and_refuses_what_differs(subject: Subject) -> None:
    examples = [make_example(subject, Places(count=8), Augmentation(), generator(0, 0, k)) for k in range(3)]
    batch = collate(examples)
    for field in dataclasses.fields(Example):
        value = getattr(batch, field.name)
        assert len(value) == 3
        assert torch.equal(value[2], getattr(examples[2], field.name))
        assert torch.equal(getattr(batch.to("cpu"), field.name), value)
    with pytest.raises(ValueError, match="2 different"):
        collate([examples[0], make_example(subject, Places(count=9), PLAIN, generator(0, 0, 0))])
    with pytest.raises(ValueError, match="none"):
        collate([])


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="scale below 1"):
        Augmentation(scale=1.0)
    with pytest.raises(ValueError, match="share near"):
        Places(near=1.5)
    image, points, mask = bowl()
    with pytest.raises(ValueError, match="surface points"):
        make_subject(image, points, mask, points, image, SIZES)
