# What `lane` is as C. In Python its classes are as they stand there.
cimport cython

from pgsoftproxy.kernel._mask cimport Masks
from pgsoftproxy.kernel._sheet cimport Sheet

cdef Sheet OUT

cdef class Cell:
    cdef public long long n

cdef class Known:
    cdef bytes sent
    cdef bint same
    cdef tuple statements
    cdef tuple cells
    cdef tuple parts
    cdef Py_ssize_t fixed
    cdef public object script
    cdef public object source

cdef class Lane:
    cdef public bint open
    cdef public bint strange
    cdef public Sheet out
    cdef public bytes held
    cdef public Py_ssize_t skip
    cdef Sheet _kept
    cdef public Py_ssize_t turns
    cdef public Py_ssize_t sent
    cdef public Known unnamed
    cdef public int unnamed_is
    cdef public Known portal
    cdef public int portal_is
    cdef object _observer
    cdef Cell _hits
    cdef Cell _shape_hits
    cdef Py_ssize_t _longest
    cdef dict _shapes
    cdef Masks _masks
    cdef Py_ssize_t _shaped
    cdef object _role
    cdef dict _known
    cdef dict _statements
    cdef dict _current
    cdef object _context
    cdef object _version
    cdef int _status
    cdef Py_ssize_t _pipeline
    cdef bytearray _codes
    cdef list _plans
    cdef Py_ssize_t _head
    cdef Py_ssize_t _tail
    cdef Py_ssize_t _index
    cdef bytearray _kinds
    cdef Py_ssize_t _answers
    cdef Py_ssize_t _texts
    cdef Py_ssize_t _segment
    cdef Py_ssize_t _done
    cdef Known _parsed
    cdef int _parsed_is
    cdef Py_ssize_t _parsed_at
    cdef Known _bound
    cdef int _bound_is
    cdef Py_ssize_t _bound_at

    @cython.locals(out=Sheet)
    cpdef int client(self, bytearray data, Py_ssize_t size) except -1
    cpdef Py_ssize_t server(self, bytearray data, Py_ssize_t size) except -1
    cdef Known _prepared(self, bytes name)
    @cython.locals(masks=Masks, out=Sheet)
    cdef object _write(self, Known plan, unsigned char *text)
    cdef object _complete(self)
    cdef object _count(self, Known known)
    cdef object _settle(self)
