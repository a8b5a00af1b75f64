"""Is somebody's function of (params, x, labels) right, and if not, what is wrong with it?

problems -> recognition (how is it written, and which network is it?) -> judgement (by the chain rule of that network)
-> matching (which known mistake is it?) and fingerprints (what do the errors look like?) -> verdict (at plain problems)
and findings (everywhere else) -> report. judge leads through them. The chain of rules is chain, and the table of rules
that people break, mistakes.
"""
