"""Judge a file as its author wrote it: are the gradients of its training step those of its own loss?

`conversation` runs the file in a child process; `slopes` takes differences of the loss; `trial` holds both;
`judge` decides, and `facts` says what the errors look like.

The judge executes nothing that comes from the file: messages are JSON and plain numbers, of limited size. But the file
runs in the process that answers for it. So one that means to cheat can answer the judge's questions as it likes. It can
also do whatever its user may do on the machine.
"""
