"""The twin-database oracle: what the proxy answers must be what a database without the deleted rows answers."""
