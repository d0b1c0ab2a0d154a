"""What is packed into archives to adapt them; it runs in the server's Python, 3.9 or newer, never in servemark's."""
