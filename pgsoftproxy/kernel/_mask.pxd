# What `mask` is as C.
cdef class Masks:
    cdef bytearray shape
    cdef Py_ssize_t count
    cdef Py_ssize_t[256] begins
    cdef Py_ssize_t[256] ends
    cdef Py_ssize_t _end

    cdef Py_ssize_t scan(self, unsigned char *text, Py_ssize_t start, Py_ssize_t stop) noexcept
    cdef Py_ssize_t _cut(self, Py_ssize_t to, int kind, Py_ssize_t at) noexcept
    cdef int _number(self, unsigned char *text, Py_ssize_t start, Py_ssize_t stop) noexcept
    cdef int _string(self, unsigned char *text, Py_ssize_t start, Py_ssize_t stop) noexcept
