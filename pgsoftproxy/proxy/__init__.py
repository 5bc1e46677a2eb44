"""The only sockets on the query path."""
