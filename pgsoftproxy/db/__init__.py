"""The only room that imports a database driver: control connections, catalog, ledger."""
