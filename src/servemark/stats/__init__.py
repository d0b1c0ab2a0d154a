"""Statistics: pure functions over arrays. Nothing here reads a file, a clock or a socket."""
