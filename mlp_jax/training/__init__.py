"""Training: a run is one compiled program, driven by optax. `evaluate` measures it; `find_divergence` explains it."""

from mlp_jax.training._checkpoints import Checkpoint as Checkpoint
from mlp_jax.training._divergence import Divergence as Divergence
from mlp_jax.training._divergence import find_divergence as find_divergence
from mlp_jax.training._engine import History as History
from mlp_jax.training._engine import TrainResult as TrainResult
from mlp_jax.training._engine import TrainState as TrainState
from mlp_jax.training._engine import train as train
from mlp_jax.training._evaluation import Evaluation as Evaluation
from mlp_jax.training._evaluation import evaluate as evaluate
from mlp_jax.training._recipe import Recipe as Recipe
