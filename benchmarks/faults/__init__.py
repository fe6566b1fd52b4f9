"""What goes wrong around the program, tried by the hundred: see `__main__`."""
