"""Every way in which deleted rows can leak or be destroyed past the proxy, found in what was read of a database."""
