# What `mask` is as C.
cdef class Masks:
    cpdef bytes mask(self, bytearray data, Py_ssize_t start, Py_ssize_t stop, object literals)
