"""scikit-learn's MLPClassifier: `partial_fit` goes once over the examples."""

from typing import Any

from experiments.benchmark.problems import Problem, units_of_training
from experiments.benchmark.worker import Task
from experiments.benchmark.workloads import Workload


def training(problem: Problem, workload: Workload) -> Task:
    """Pass once over the examples in batches, without its penalty on large weights (alpha = 0)."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    x, labels = problem.x, problem.labels
    classes = np.arange(workload.sizes[-1])
    network = MLPClassifier(
        workload.sizes[1:-1],
        activation=workload.activation,
        alpha=0.0,
        batch_size=workload.batch,
        learning_rate_init=1e-3,
        random_state=0,
    )
    network.partial_fit(x[: workload.batch], labels[: workload.batch], classes=classes)

    def run(order: Any) -> float:
        for layer, (weight, bias) in enumerate(problem.params):
            network.coefs_[layer][...], network.intercepts_[layer][...] = weight, bias
        del network._optimizer  # so that Adam starts again
        network.shuffle = order is None
        ordered = (x, labels) if order is None else (x[order], labels[order])
        network.partial_fit(*ordered, classes=classes)
        return float(network.loss_)

    return Task(run, units_of_training(workload), {"device": "cpu"})
