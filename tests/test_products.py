"""The faster of two libraries gives the same product, whatever the shapes and strides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from affinage import products
from affinage.products import added, product


@pytest.fixture(params=["torch", "onednn"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(products, "_SMALL", 1)
    before = products.in_use()
    yield products.use(request.param)
    products.use(before)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (33, 48, 64), (130, 288, 96), (1, 64, 300)])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_products_are_equal(library: str, shape: tuple[int, int, int], turned: tuple[bool, bool]) -> None:
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(1)
    left = torch.randn((inner, rows) if turned[0] else (rows, inner), generator=generator)
    right = torch.randn((columns, inner) if turned[1] else (inner, columns), generator=generator)
    left, right = left.T if turned[0] else left, right.T if turned[1] else right
    exact = (left.double() @ right.double()).float()
    torch.testing.assert_close(product(left, right), exact, rtol=1e-5, atol=5e-5)
    onto = torch.ones(rows, columns)
    torch.testing.assert_close(added(onto, left, right), exact + 1, rtol=1e-5, atol=5e-5)
    assert float(onto.sum()) == pytest.approx(float((exact + 1).sum()), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("shape", [(40, 8, 24), (40, 24, 8), (1, 3, 3)])
def test_an_outer_product_is_contiguous_whichever_side_is_turned(library: str, shape: tuple[int, int, int]) -> None:
    rows, columns, inner = shape
    generator = torch.Generator().manual_seed(2)
    grad, inputs = torch.randn(rows, columns, generator=generator), torch.randn(rows, inner, generator=generator)
    found = products.outer(grad, inputs)
    torch.testing.assert_close(found, grad.T @ inputs, rtol=1e-5, atol=1e-5)
    assert found.is_contiguous()


def test_no_rows_give_no_rows(library: str) -> None:
    assert product(torch.zeros(0, 4), torch.ones(4, 3)).shape == (0, 3)


def test_other_numbers_go_to_torch(library: str) -> None:
    left, right = torch.ones(2, 3, dtype=torch.float64), torch.ones(3, 4, dtype=torch.float64)
    assert product(left, right).dtype == torch.float64


def test_the_choice_is_a_measurement_that_leaves_the_seed_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    assert products.faster() in ("torch", "onednn")
    assert torch.equal(torch.rand(1), expected)


def test_a_build_without_the_other_library_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = products.in_use()
    monkeypatch.setattr(products, "available", lambda: False)
    assert products.faster() == "torch"
    assert products.use("onednn") == "torch"
    monkeypatch.undo()
    products.use(before)
