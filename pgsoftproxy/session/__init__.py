"""One client's conversation, without sockets: bytes in, bytes out."""
