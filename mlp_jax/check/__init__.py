"""Check gradients that were derived by hand: of a network, of any function, and of custom rules."""

from mlp_jax.check import mistakes as mistakes
from mlp_jax.check._diagnosis.backprop_check import check_backprop as check_backprop
from mlp_jax.check._diagnosis.report import BackpropReport as BackpropReport
from mlp_jax.check._gradient_check.comparison import TOLERANCES as TOLERANCES
from mlp_jax.check._gradient_check.comparison import GradientReport as GradientReport
from mlp_jax.check._gradient_check.comparison import LeafComparison as LeafComparison
from mlp_jax.check._gradient_check.comparison import compare_gradients as compare_gradients
from mlp_jax.check._gradient_check.custom_rules import check_custom_jvp as check_custom_jvp
from mlp_jax.check._gradient_check.custom_rules import check_custom_vjp as check_custom_vjp
from mlp_jax.check._gradient_check.oracles import Reference as Reference
from mlp_jax.check._gradient_check.oracles import central_differences as central_differences
from mlp_jax.check._gradient_check.oracles import complex_step as complex_step
from mlp_jax.check._gradient_check.oracles import high_precision as high_precision
from mlp_jax.check._gradient_check.rule_report import Finding as Finding
from mlp_jax.check._gradient_check.rule_report import RuleReport as RuleReport
from mlp_jax.check._gradient_check.value_and_grad import check_gradient as check_gradient
