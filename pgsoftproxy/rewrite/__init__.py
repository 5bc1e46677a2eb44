"""SQL text in, plan out. Pure: no I/O, no clock, no sockets. The only room that imports the SQL parser."""
