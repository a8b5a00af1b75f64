"""Check gradients that were derived by hand: of a network, of any function, and of custom rules."""

from mlp_jax.check import mistakes as mistakes
from mlp_jax.check._grading.notebook import grade as grade
from mlp_jax.check._high_precision import high_precision as high_precision
from mlp_jax.check._in_memory import check_backprop as check_backprop
from mlp_jax.check._in_memory import check_layer as check_layer
from mlp_jax.check._networks.report import BackpropReport as BackpropReport
from mlp_jax.check._rules.comparison import GradientReport as GradientReport
from mlp_jax.check._rules.comparison import LeafComparison as LeafComparison
from mlp_jax.check._rules.comparison import compare_gradients as compare_gradients
from mlp_jax.check._rules.custom_rules import check_custom_jvp as check_custom_jvp
from mlp_jax.check._rules.custom_rules import check_custom_vjp as check_custom_vjp
from mlp_jax.check._rules.oracles import Reference as Reference
from mlp_jax.check._rules.oracles import central_differences as central_differences
from mlp_jax.check._rules.oracles import complex_step as complex_step
from mlp_jax.check._rules.rule_report import Finding as Finding
from mlp_jax.check._rules.rule_report import RuleReport as RuleReport
from mlp_jax.check._rules.value_and_grad import check_gradient as check_gradient
from mlp_jax.check._tolerance import TOLERANCES as TOLERANCES
