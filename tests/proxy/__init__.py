"""The policy store and the sockets of the query path, against real servers where one is involved."""
