"""Judge a file as its author wrote it: are the gradients of its training step those of its own loss?

`conversation` runs the file in a child process; `slopes` takes differences of the loss; `trial` holds both;
`judge` decides, and `facts` says what the errors look like.
"""
