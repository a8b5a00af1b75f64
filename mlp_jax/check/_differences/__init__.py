"""Judge a file as its author wrote it: are the gradients of its training step those of its own loss?

`conversation` runs the file in a child process, which `processes` starts and ends; `slopes` takes differences of the
loss; `comparing` holds the gradient against them, and `trial` is what it finds; `judge` decides, and `facts` says what
the errors look like.

The judge executes nothing that comes from the file: messages are JSON and plain numbers, of limited size, and a file's
texts are shortened and stripped of control characters. All files are read before any of them runs.

What a file can still do:

- It runs in the process that answers for it. So one that means to cheat can answer the judge's questions as it likes:
  it can find the answering function and replace it, or write the answers itself. What is usual for that is noted in
  the report, by what the file calls and by words in its code; but a file can hide them.
- It has its user's rights: it can change the user's files, use the network, and end the user's processes, the judge
  among them. A superuser's check runs it as the user nobody if that user can read the file, its folder and Python.
- Limits hold for each process, not for all that it starts. They end a flood of processes only for an ordinary user.
- Its answers share the machine: a file that takes all of its time can make another file late.
"""
