"""Many networks at once in PyTorch: `torch.func`, as in its tutorial on ensembles, eager and compiled, on the CPU."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from experiments.benchmark.problems import Problem
from experiments.benchmark.sides.pytorch import network
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload

RATE, B1, B2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def many(problem: Problem, workload: Workload, compiled: bool = False) -> Task:
    """Train by gradients vmapped over stacked parameters, and Adam, which works per entry, on the stacked tensors."""
    x, labels = torch.from_numpy(problem.x), torch.from_numpy(problem.labels)
    models = [network(list(workload.sizes), workload.activation) for _ in range(workload.nets)]
    params, buffers = stack_module_state(models)
    base = models[0].to("meta")
    stacked = [array for weight, bias in problem.params for array in (np.swapaxes(weight, 1, 2), bias)]
    initial = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in zip(params, stacked, strict=True)}

    def loss_of(params: Any, buffers: Any, x: Any, labels: Any) -> Any:
        return F.cross_entropy(functional_call(base, (params, buffers), (x,)), labels)

    gradients_of = vmap(grad_and_value(loss_of), in_dims=(0, 0, None, None))
    run = _functional(gradients_of, initial, buffers, x, labels, workload.steps)
    if not compiled:
        run = _eager(gradients_of, initial, buffers, x, labels, workload.steps)
    return Task(run, workload.nets * workload.steps, {"device": "cpu", "threads": torch.get_num_threads()})


def _eager(gradients_of: Any, initial: Any, buffers: Any, x: Any, labels: Any, steps: int) -> Any:
    """Return a run with the ordinary optimiser on the stacked tensors."""

    def run(order: Any) -> float:
        params = {name: tensor.clone().requires_grad_() for name, tensor in initial.items()}
        optimizer = torch.optim.Adam(params.values(), lr=RATE, fused=True)
        total = torch.zeros(())
        for _ in range(steps):
            gradients, losses = gradients_of(params, buffers, x, labels)
            for name, parameter in params.items():
                parameter.grad = gradients[name].detach()
            optimizer.step()
            total += losses.detach().mean()
        return total.item() / steps

    return run


def _functional(gradients_of: Any, initial: Any, buffers: Any, x: Any, labels: Any, steps: int) -> Any:
    """Return a run with gradient and update written as one function, and compiled as a whole."""

    def step(params: Any, m: Any, v: Any, count: Any, x: Any, labels: Any) -> Any:
        gradients, losses = gradients_of(params, buffers, x, labels)
        m = {name: B1 * m[name] + (1 - B1) * g for name, g in gradients.items()}
        v = {name: B2 * v[name] + (1 - B2) * g * g for name, g in gradients.items()}
        rate, correction = RATE / (1 - B1**count), 1 / (1 - B2**count)
        params = {name: p - rate * m[name] / (torch.sqrt(v[name] * correction) + EPSILON) for name, p in params.items()}
        return params, m, v, losses.mean()

    compiled = torch.compile(step)

    def run(order: Any) -> float:
        with torch.no_grad():
            params = initial
            m = v = {name: torch.zeros_like(tensor) for name, tensor in initial.items()}
            total = torch.zeros(())
            for i in range(steps):
                params, m, v, loss = compiled(params, m, v, torch.tensor(i + 1.0), x, labels)
                total += loss
            return total.item() / steps

    return run
