"""A JAX functional multilayer perceptron whose backward pass is derived by hand.

params = init_params(key, (64, 128, 10))
loss, gradients = backprop(params, x, labels)      # by hand; autodiff(...) gives the same by jax.grad
result = train(key, params, (x, labels), epochs=10)
classes = predict(forward(result.params, x))
"""

from mlp_jax import _interrupt as _interrupt  # first: from here on Ctrl-C is heard
from mlp_jax import _xla as _xla  # second: it sets what JAX reads when it starts
from mlp_jax import activations as activations
from mlp_jax import check as check
from mlp_jax import datasets as datasets
from mlp_jax import derivatives as derivatives
from mlp_jax import losses as losses
from mlp_jax._moved import __getattr__ as __getattr__
from mlp_jax._version import __version__ as __version__
from mlp_jax.activations import Activation as Activation
from mlp_jax.activations import relu as relu
from mlp_jax.activations import sigmoid as sigmoid
from mlp_jax.activations import tanh as tanh
from mlp_jax.backpropagation import autodiff as autodiff
from mlp_jax.backpropagation import backprop as backprop
from mlp_jax.backpropagation import backprop_with_trace as backprop_with_trace
from mlp_jax.check import BackpropReport as BackpropReport
from mlp_jax.check import GradientReport as GradientReport
from mlp_jax.check import RuleReport as RuleReport
from mlp_jax.check import check_backprop as check_backprop
from mlp_jax.check import check_custom_jvp as check_custom_jvp
from mlp_jax.check import check_custom_vjp as check_custom_vjp
from mlp_jax.check import check_gradient as check_gradient
from mlp_jax.check import compare_gradients as compare_gradients
from mlp_jax.check import grade as grade
from mlp_jax.losses import Loss as Loss
from mlp_jax.losses import cross_entropy as cross_entropy
from mlp_jax.losses import log_softmax as log_softmax
from mlp_jax.losses import predict as predict
from mlp_jax.losses import smooth_labels as smooth_labels
from mlp_jax.losses import softmax as softmax
from mlp_jax.losses import squared_error as squared_error
from mlp_jax.network import Layer as Layer
from mlp_jax.network import Params as Params
from mlp_jax.network import forward as forward
from mlp_jax.network import forward_with_trace as forward_with_trace
from mlp_jax.network import init_params as init_params
from mlp_jax.sweeps import SweepResult as SweepResult
from mlp_jax.sweeps import sweep as sweep
from mlp_jax.training import Divergence as Divergence
from mlp_jax.training import Evaluation as Evaluation
from mlp_jax.training import History as History
from mlp_jax.training import Recipe as Recipe
from mlp_jax.training import TrainResult as TrainResult
from mlp_jax.training import evaluate as evaluate
from mlp_jax.training import find_divergence as find_divergence
from mlp_jax.training import train as train
