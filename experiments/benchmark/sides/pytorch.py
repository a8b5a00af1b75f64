"""PyTorch on the CPU, eager and compiled, with the fastest of its ways to take a step of Adam."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmark.problems import Problem, units_of_training
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload

PHI: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
ADAMS: dict[str, dict[str, Any]] = {"plain": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
TRIED = 15  # steps by which the ways to take a step are compared


class Stepper(NamedTuple):
    """A model, its optimiser, and a step of training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: Callable[[Any, Any], Any]


def training(problem: Problem, workload: Workload, compiled: bool = False, adam: str = "") -> Task:
    """Pass once over the examples, which are tensors already, with batches by `index_select`."""
    x, labels = torch.from_numpy(problem.x), torch.from_numpy(problem.labels)
    how, stepper = fastest(problem, workload, compiled, adam)

    def run(order: Any) -> float:
        restart(stepper, problem.params)
        total = torch.zeros(())
        if workload.full_batch:
            for _ in range(workload.steps):
                total += stepper.step(x, labels)
        else:
            indices = torch.randperm(workload.examples) if order is None else torch.from_numpy(order)
            for batch in indices.split(workload.batch):
                total += stepper.step(x.index_select(0, batch), labels.index_select(0, batch))
        return total.item() / workload.steps

    return Task(run, units_of_training(workload), {"device": "cpu", "adam": how, "threads": torch.get_num_threads()})


def one_by_one(problem: Problem, workload: Workload, nets: int, steps: int) -> Task:
    """Train a sample of the networks one after another, eager, each for so long that starting counts little."""
    x, labels = torch.from_numpy(problem.x), torch.from_numpy(problem.labels)
    of_net = [[(weight[i], bias[i]) for weight, bias in problem.params] for i in range(nets)]
    how, stepper = fastest(problem._replace(params=of_net[0]), workload, compiled=False)

    def run(order: Any) -> float:
        loss = 0.0
        for params in of_net:
            restart(stepper, params)
            for _ in range(steps):
                last = stepper.step(x, labels)
            loss += last.item() / nets
        return loss

    return Task(run, nets * steps, {"device": "cpu", "adam": how}, comparable=False)


def fastest(problem: Problem, workload: Workload, compiled: bool, adam: str = "") -> tuple[str, Stepper]:
    """Return the fastest way to take a step, and its name: plain, foreach or fused Adam, or a compiled step of it.

    If a way is named, it is the only one.
    """
    x, labels = (torch.from_numpy(a[: workload.batch]) for a in (problem.x, problem.labels))
    ways = ADAMS | ({"compiled": {}} if compiled else {})
    ways = {adam: ways[adam]} if adam else ways
    tried: list[tuple[float, str, Stepper]] = []
    for name, options in ways.items():
        stepper = built(problem.params, workload.activation, options, compiled, name == "compiled")
        for _ in range(3):
            stepper.step(x, labels)
        start = time.perf_counter()
        for _ in range(TRIED):
            stepper.step(x, labels)
        tried.append((time.perf_counter() - start, name, stepper))
    _, name, stepper = min(tried, key=lambda entry: entry[0])
    return name, stepper


def built(
    params: Any, activation: str, options: dict[str, Any], compiled: bool = False, compiled_adam: bool = False
) -> Stepper:
    """Return a network with these parameters, Adam, and the step of every tutorial."""
    model = network([params[0][0].shape[0], *(weight.shape[1] for weight, _ in params)], activation)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **options)

    def loss_of(x: Any, labels: Any) -> Any:
        return F.cross_entropy(model(x), labels)

    loss_of = torch.compile(loss_of) if compiled else loss_of
    update = torch.compile(optimizer.step) if compiled_adam else optimizer.step

    def step(x: Any, labels: Any) -> Any:
        loss = loss_of(x, labels)
        optimizer.zero_grad()
        loss.backward()
        update()
        return loss.detach()

    return Stepper(model, optimizer, step)


def network(sizes: list[int], activation: str) -> nn.Sequential:
    """Return Linear layers with activations between them."""
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), PHI[activation]())]
    return nn.Sequential(*layers[:-1])


def restart(stepper: Stepper, params: Any) -> None:
    """Set the initial parameters, and the optimiser to zero, in place: nothing is compiled again."""
    arrays = [array for weight, bias in params for array in (weight.T, bias)]
    with torch.no_grad():
        for parameter, array in zip(stepper.model.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
        for state in stepper.optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()
