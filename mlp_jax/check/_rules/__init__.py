"""Compare gradients of any pytree, and check gradients, VJPs and JVPs that were written by hand. It knows no network.

comparison holds the report of two gradients; oracles, gradients that owe nothing to backpropagation: finite_differences
with the kinks that jaxpr_interpreter sees, and the complex step. custom_rules and value_and_grad check somebody's rule
by gradient_judge, the two references, and rule_checks, the laws of derivatives; rule_report says what they found.
"""
