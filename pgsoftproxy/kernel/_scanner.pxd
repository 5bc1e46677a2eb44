# What `scanner` is as C. In Python its class is as it stands there.
cdef class Scanner:
    cdef public object rules
    cdef public bytes data
    cdef public Py_ssize_t start
    cdef public Py_ssize_t stop
    cdef public bint whole
    cdef readonly list _more
    cdef Py_ssize_t _pos
    cdef Py_ssize_t _mark
    cdef Py_ssize_t _first
    cdef Py_ssize_t _size
    cdef bint _passed

    cpdef bint flows(self) except -1
    cpdef Py_ssize_t carry(self, bytearray data, Py_ssize_t size) except -1
