"""The loss of supervised positions: what autograd and float64 say it is, in every way that it is computed."""

import pytest
import torch
import torch.nn.functional as F

from sphinx_model import loss
from sphinx_model.loss import IGNORE, supervised, token_losses


def example(dtype, length=300, width=64, vocabulary=1000):
    torch.manual_seed(0)
    hidden = torch.randn(2, length, width, dtype=dtype, requires_grad=True)
    head = (torch.randn(vocabulary, width) / width**0.5).to(dtype).requires_grad_()
    labels = torch.randint(0, vocabulary, (2, length))
    labels[torch.rand(2, length) < 0.7] = IGNORE
    labels[:, 0] = IGNORE
    return hidden, head, labels


def reference(hidden, head, labels):
    logits = hidden.double() @ head.double().T
    wanted = labels[:, 1:].flatten()
    found = F.cross_entropy(logits[:, :-1].flatten(0, 1), wanted, ignore_index=IGNORE, reduction="none")
    return found[wanted != IGNORE]


def test_places_are_those_of_the_states_that_predict():
    labels = torch.tensor([[IGNORE, 5, IGNORE, 7], [IGNORE, IGNORE, IGNORE, 2]])
    places, targets = supervised(labels)
    assert places.tolist() == [0, 2, 6]
    assert targets.tolist() == [5, 7, 2]


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "chunked"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_are_those_of_the_whole_square(dtype, fused, monkeypatch):
    if not fused:
        monkeypatch.delattr(F, "linear_cross_entropy", raising=False)  # as in torch 2.11
        monkeypatch.setattr(loss, "_CHUNK", 50)
    hidden, head, labels = example(dtype)
    expected = reference(hidden, head, labels)
    found = token_losses(hidden, head, *supervised(labels))
    assert found.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    assert torch.allclose(found.double(), expected, atol=tolerance, rtol=2**-8)
    # sums stay float32: a bfloat16 sum of these would be off by several units
    assert float(found.sum().detach()) == pytest.approx(float(expected.sum().detach()), rel=tolerance / 10)
    wanted = torch.autograd.grad(expected.sum(), (hidden, head))
    given = torch.autograd.grad(found.sum(), (hidden, head))
    for one, other in zip(given, wanted, strict=True):
        assert torch.linalg.norm(one.double() - other.double()) <= tolerance * torch.linalg.norm(other.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_supervised_has_zero_gradients(dtype):
    hidden, head, labels = example(dtype)
    found = token_losses(hidden, head, *supervised(torch.full_like(labels, IGNORE)))
    assert found.shape == (0,)
    found.sum().backward()
    assert not hidden.grad.any()
    assert not head.grad.any()
