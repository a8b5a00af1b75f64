"""Compare gradients of any pytree, and check gradients, VJPs and JVPs that were written by hand. It knows no network.

comparison holds the report of two gradients; oracles, gradients that owe nothing to backpropagation: finite_differences
and the complex step. custom_rules and value_and_grad check somebody's rule, and rule_report says what was found.
arguments are taken apart, and rule is a function with its derivative in question. rule_checks has the laws of
derivatives, and low_precision compares a
rule in its own dtype with float64. problem is a function with its gradients in question and by autodiff.
jaxpr_interpreter runs the function's own code. gradient_judge hears autodiff and the slopes of leaf_slopes at the
point. If these do not agree, around compares the gradients nearby, which samples takes, and mixtures tells what is a
convention.
"""
