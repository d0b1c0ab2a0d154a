"""What any HTTP server needs: it is found, reached, trusted, sent one request; and one of which no more is known."""
