"""What any HTTP server needs: it is found, reached, trusted, and sent one request; and one of which nothing is known."""
