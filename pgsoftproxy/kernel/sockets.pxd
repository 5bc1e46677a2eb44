# What `wires` asks of sockets, when that is compiled.
cdef extern from "sys/socket.h" nogil:
    enum: MSG_NOSIGNAL
    ssize_t recv(int fd, void *data, size_t size, int flags)
    ssize_t send(int fd, const void *data, size_t size, int flags)
