"""How a graph of the zoo becomes what a server can be given: a file a format."""
