"""pgsoftproxy: a PostgreSQL wire-protocol proxy that makes soft delete unforgettable."""

__version__ = "0.1.0"
