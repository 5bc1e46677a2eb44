"""Values that every other room shares: catalog, policy, context. No I/O, no SQL text, no bytes."""
