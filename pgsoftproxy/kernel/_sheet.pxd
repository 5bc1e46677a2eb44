# What `sheet` is as C. In Python its class is as it stands there.
cdef class Sheet:
    cdef public bytearray data
    cdef public Py_ssize_t size

    cdef object clear(self)
    cdef object reserve(self, Py_ssize_t size)
    cdef object copy(self, unsigned char *source, Py_ssize_t start, Py_ssize_t size)
    cdef object number(self, Py_ssize_t number)
