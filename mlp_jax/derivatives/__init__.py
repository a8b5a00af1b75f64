"""Derivatives beyond the gradient, by hand; `by_autodiff` has a twin of each, with the same signature."""

from mlp_jax.derivatives import by_autodiff as by_autodiff
from mlp_jax.derivatives._by_hand import fisher_vector_product as fisher_vector_product
from mlp_jax.derivatives._by_hand import gauss_newton_vector_product as gauss_newton_vector_product
from mlp_jax.derivatives._by_hand import hessian_vector_product as hessian_vector_product
from mlp_jax.derivatives._by_hand import input_gradient as input_gradient
from mlp_jax.derivatives._by_hand import logits_input_jacobian as logits_input_jacobian
from mlp_jax.derivatives._by_hand import logits_jacobian as logits_jacobian
from mlp_jax.derivatives._by_hand import logits_jvp as logits_jvp
from mlp_jax.derivatives._by_hand import logits_vjp as logits_vjp
from mlp_jax.derivatives._by_hand import per_example_gradient_norms as per_example_gradient_norms
from mlp_jax.derivatives._by_hand import per_example_gradients as per_example_gradients
from mlp_jax.derivatives._by_hand import softmax_jacobian as softmax_jacobian
