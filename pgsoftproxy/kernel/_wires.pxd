# What `wires` is as C. In Python its class is as it stands there.
from pgsoftproxy.kernel._lane cimport Cell, Lane
from pgsoftproxy.kernel._scanner cimport Scanner

cdef class Wire:
    cdef object _loop
    cdef object _wires
    cdef object _socket
    cdef int _fd
    cdef object _owner
    cdef Cell _meter
    cdef bint _from_client
    cdef Lane _lane
    cdef object _leave
    cdef Wire _peer
    cdef Scanner _scanner
    cdef object _flows
    cdef object _waiting
    cdef Py_ssize_t _waits
    cdef Py_ssize_t _high
    cdef Py_ssize_t _low
    cdef bint _full
    cdef bint _paused
    cdef bint _ended
    cdef bint _write_eof
    cdef bint _closing
    cdef bint _lost

    cpdef object pour(self, object data, Py_ssize_t size)
    cpdef bint readable(self) except -1
    cdef bint _client(self, Py_ssize_t size) except -1
    cdef bint _server(self, Py_ssize_t size) except -1
    cdef bint _carry(self, Py_ssize_t size) except -1
    cdef bint _hand_on(self, Py_ssize_t upto, bytes rest) except -1
    cdef object _end(self)
