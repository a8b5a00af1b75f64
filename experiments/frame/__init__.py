"""How a question is answered here: measure, then say.

numbers (what a measurement recorded) -> claims, with statistics (sentences that the numbers can contradict) and
pictures -> questions (a package per question, in words of two languages) -> page (the report), readme and command.
Claims, pictures and answers are pure functions of recorded numbers: to reword one, move a bound or add one needs no
new run.
"""
