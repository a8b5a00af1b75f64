"""A JAX functional multilayer perceptron whose backward pass is derived by hand.

params = init_params(key, (64, 128, 10))
loss, gradients = backprop(params, x, labels)      # by hand; autodiff(...) gives the same by jax.grad
result = train(key, params, (x, labels), epochs=10)
classes = predict(forward(result.params, x))
"""

from mlp_jax import derivatives_by_autodiff as derivatives_by_autodiff
from mlp_jax.activations import ACTIVATIONS as ACTIVATIONS
from mlp_jax.activations import Activation as Activation
from mlp_jax.activations import gelu as gelu
from mlp_jax.activations import gelu_tanh as gelu_tanh
from mlp_jax.activations import identity as identity
from mlp_jax.activations import leaky_relu as leaky_relu
from mlp_jax.activations import relu as relu
from mlp_jax.activations import sigmoid as sigmoid
from mlp_jax.activations import silu as silu
from mlp_jax.activations import sin as sin
from mlp_jax.activations import softplus as softplus
from mlp_jax.activations import tanh as tanh
from mlp_jax.backpropagation import BackwardTrace as BackwardTrace
from mlp_jax.backpropagation import autodiff as autodiff
from mlp_jax.backpropagation import backprop as backprop
from mlp_jax.backpropagation import backprop_with_trace as backprop_with_trace
from mlp_jax.derivatives import fisher_vector_product as fisher_vector_product
from mlp_jax.derivatives import gauss_newton_vector_product as gauss_newton_vector_product
from mlp_jax.derivatives import hessian_vector_product as hessian_vector_product
from mlp_jax.derivatives import input_gradient as input_gradient
from mlp_jax.derivatives import logits_input_jacobian as logits_input_jacobian
from mlp_jax.derivatives import logits_jacobian as logits_jacobian
from mlp_jax.derivatives import logits_jvp as logits_jvp
from mlp_jax.derivatives import logits_vjp as logits_vjp
from mlp_jax.derivatives import per_example_gradient_norms as per_example_gradient_norms
from mlp_jax.derivatives import per_example_gradients as per_example_gradients
from mlp_jax.derivatives import softmax_jacobian as softmax_jacobian
from mlp_jax.diagnosis.backprop_check import check_backprop as check_backprop
from mlp_jax.diagnosis.report import BackpropReport as BackpropReport
from mlp_jax.divergence import Divergence as Divergence
from mlp_jax.divergence import find_divergence as find_divergence
from mlp_jax.evaluation import Evaluation as Evaluation
from mlp_jax.evaluation import evaluate as evaluate
from mlp_jax.gradient_check.comparison import GradientReport as GradientReport
from mlp_jax.gradient_check.comparison import LeafComparison as LeafComparison
from mlp_jax.gradient_check.comparison import compare_gradients as compare_gradients
from mlp_jax.gradient_check.custom_rules import check_custom_jvp as check_custom_jvp
from mlp_jax.gradient_check.custom_rules import check_custom_vjp as check_custom_vjp
from mlp_jax.gradient_check.oracles import Reference as Reference
from mlp_jax.gradient_check.oracles import central_differences as central_differences
from mlp_jax.gradient_check.oracles import complex_step as complex_step
from mlp_jax.gradient_check.oracles import high_precision as high_precision
from mlp_jax.gradient_check.rule_report import Finding as Finding
from mlp_jax.gradient_check.rule_report import RuleReport as RuleReport
from mlp_jax.gradient_check.value_and_grad import check_gradient as check_gradient
from mlp_jax.losses import LOSSES as LOSSES
from mlp_jax.losses import Loss as Loss
from mlp_jax.losses import cross_entropy as cross_entropy
from mlp_jax.losses import log_softmax as log_softmax
from mlp_jax.losses import predict as predict
from mlp_jax.losses import smooth_labels as smooth_labels
from mlp_jax.losses import softmax as softmax
from mlp_jax.losses import softmax_jvp as softmax_jvp
from mlp_jax.losses import squared_error as squared_error
from mlp_jax.network import Layer as Layer
from mlp_jax.network import Params as Params
from mlp_jax.network import Trace as Trace
from mlp_jax.network import forward as forward
from mlp_jax.network import forward_with_trace as forward_with_trace
from mlp_jax.network import init_params as init_params
from mlp_jax.sweeps.host_loop import sweep as sweep
from mlp_jax.sweeps.result import SweepResult as SweepResult
from mlp_jax.training import History as History
from mlp_jax.training import TrainResult as TrainResult
from mlp_jax.training import TrainState as TrainState
from mlp_jax.training import train as train

__version__ = "0.1.0"
