# What `selector` is as C. In Python its classes are as they stand there.
cimport cython

from pgsoftproxy.kernel._wires cimport Wire

cdef class Poll:
    cdef int _fd
    cdef dict _wires
    cdef object _epoll
    cdef object _keys

    cdef bint _turn(self, int milliseconds, list ready) except -1
    @cython.locals(wire=Wire)
    cdef bint _one(self, int fd, unsigned int event, list ready) except -1
