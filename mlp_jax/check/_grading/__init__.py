"""From a report to points: the rule of credit, what students are told, and the forms that graders take.

`credit` has the rule and `hints` cuts a report down to what may be told. `gradescope` makes a results.json of reports,
`notebook` has `grade` for nbgrader and otter-grader, and `templates` the files that set a grader up.
"""
