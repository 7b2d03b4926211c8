# C: what Python gives, and bytes by the word.

cdef extern from "Python.h":
    bint PyLong_CheckExact(object)
    bint PyFloat_CheckExact(object)
    bint PyBool_Check(object)
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    object PyUnicode_DecodeUTF8(const char*, Py_ssize_t, const char*)
    object PyUnicode_AsUTF8String(object)
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    object PyLong_FromLong(long)
    object PyLong_FromLongLong(long long)
    object PyLong_FromUnsignedLongLong(unsigned long long)
    object PyFloat_FromDouble(double)
    PyObject* new_int "PyLong_FromLong"(long) except NULL
    PyObject* new_float "PyFloat_FromDouble"(double) except NULL
    object PyList_New(Py_ssize_t)
    object PyTuple_New(Py_ssize_t)
    void PyList_SET_ITEM(object, Py_ssize_t, PyObject*)
    void PyTuple_SET_ITEM(object, Py_ssize_t, PyObject*)
    PyObject* PyDict_SetDefault(object, object, object) except NULL
    Py_ssize_t PyDict_GET_SIZE(object)
    PyTypeObject* Py_TYPE(PyObject*)
    PyTypeObject PyBool_Type, PyBytes_Type, PyDict_Type, PyFloat_Type, PyList_Type, PyLong_Type
    PyTypeObject PyTuple_Type, PyUnicode_Type
    PyObject* Py_True
    PyObject* Py_None
    PyObject* PyList_GET_ITEM(PyObject*, Py_ssize_t)
    PyObject* PyTuple_GET_ITEM(PyObject*, Py_ssize_t)
    Py_ssize_t list_size "PyList_GET_SIZE"(PyObject*)
    Py_ssize_t tuple_size "PyTuple_GET_SIZE"(PyObject*)
    Py_ssize_t bytes_size "PyBytes_GET_SIZE"(PyObject*)
    const char* bytes_start "PyBytes_AS_STRING"(PyObject*)
    double float_value "PyFloat_AS_DOUBLE"(PyObject*)
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    char* PyBytes_AS_STRING_ "PyBytes_AS_STRING"(PyObject*)
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif

    /* Ask for huge pages where much fresh memory is going to be written to: of the time that it
       takes to copy 64 MiB, most goes by in the faults of 16,384 small ones. */
    static inline void pynode_in_huge_pages(const void *start, Py_ssize_t size) {
    #ifdef MADV_HUGEPAGE
        const uintptr_t page = (uintptr_t)2 << 20;
        if (size >= (Py_ssize_t)(2 * page)) {
            uintptr_t from = ((uintptr_t)start + page - 1) & ~(page - 1);
            uintptr_t to = ((uintptr_t)start + (uintptr_t)size) & ~(page - 1);
            (void)madvise((void *)from, to - from, MADV_HUGEPAGE);  /* a wish */
        }
    #else
        (void)start;
        (void)size;
    #endif
    }

    static inline uint32_t pynode_get32(const unsigned char *at) {
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    static inline void pynode_set32(unsigned char *at, uint32_t value) {
        at[0] = (unsigned char)(value >> 24);
        at[1] = (unsigned char)(value >> 16);
        at[2] = (unsigned char)(value >> 8);
        at[3] = (unsigned char)value;
    }
    static inline uint64_t pynode_get64(const unsigned char *at) {
        return (uint64_t)pynode_get32(at) << 32 | pynode_get32(at + 4);
    }
    static inline double pynode_get_double(const unsigned char *at) {
        uint64_t bits = pynode_get64(at);
        double value;
        memcpy(&value, &bits, 8);
        return value;
    }
    static inline void pynode_set_double(unsigned char *at, double value) {
        uint64_t bits;
        memcpy(&bits, &value, 8);
        pynode_set32(at, (uint32_t)(bits >> 32));
        pynode_set32(at + 4, (uint32_t)bits);
    }
    /* The value of an int, where it is there without a call. */
    static inline int pynode_compact(PyObject *number, long long *value) {
    #if PY_VERSION_HEX >= 0x030C0000
        if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) {
            return 0;
        }
        *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
        return 1;
    #else
        Py_ssize_t size = Py_SIZE(number);
        if (size < -1 || size > 1) {
            return 0;
        }
        *value = size * (long long)((PyLongObject *)number)->ob_digit[0];
        return 1;
    #endif
    }
    /* memcpy() of what is mostly short. */
    static inline void pynode_copy(unsigned char *to, const char *from, Py_ssize_t size) {
        uint64_t first, last;
        uint32_t first_half, last_half;
        if (size > 16) {
            memcpy(to, from, (size_t)size);
        } else if (size >= 8) {
            memcpy(&first, from, 8);
            memcpy(&last, from + size - 8, 8);
            memcpy(to, &first, 8);
            memcpy(to + size - 8, &last, 8);
        } else if (size >= 4) {
            memcpy(&first_half, from, 4);
            memcpy(&last_half, from + size - 4, 4);
            memcpy(to, &first_half, 4);
            memcpy(to + size - 4, &last_half, 4);
        } else if (size > 0) {
            to[0] = (unsigned char)from[0];
            to[size >> 1] = (unsigned char)from[size >> 1];
            to[size - 1] = (unsigned char)from[size - 1];
        }
    }
    /* The error that is set already. */
    #define pynode_pending() (-1)
    /* An object of a reference that is ours already. */
    #define pynode_owned(object) (object)
    /* memcmp() of what is mostly short and mostly equal: whether it is. */
    static inline int pynode_equal(const char *one, const unsigned char *other, Py_ssize_t size) {
        uint64_t a, b, c, d;
        uint32_t e, f, g, h;
        if (size > 16) {
            return memcmp(one, other, (size_t)size) == 0;
        }
        if (size >= 8) {
            memcpy(&a, one, 8);
            memcpy(&b, other, 8);
            memcpy(&c, one + size - 8, 8);
            memcpy(&d, other + size - 8, 8);
            return a == b && c == d;
        }
        if (size >= 4) {
            memcpy(&e, one, 4);
            memcpy(&f, other, 4);
            memcpy(&g, one + size - 4, 4);
            memcpy(&h, other + size - 4, 4);
            return e == f && g == h;
        }
        return size == 0 || ((unsigned char)one[0] == other[0]
            && (unsigned char)one[size >> 1] == other[size >> 1]
            && (unsigned char)one[size - 1] == other[size - 1]);
    }
    /* Of any bytes; nothing beyond them is read. */
    static inline uint32_t pynode_hash(const unsigned char *at, Py_ssize_t size) {
        uint64_t state = (uint64_t)size * 0x9E3779B97F4A7C15u, word;
        uint32_t half;
        while (size >= 8) {
            memcpy(&word, at, 8);
            state = (state ^ word) * 0x9E3779B97F4A7C15u;
            state ^= state >> 32;
            at += 8;
            size -= 8;
        }
        word = 0;
        if (size >= 4) {
            memcpy(&half, at, 4);
            word = half;
            memcpy(&half, at + size - 4, 4);
            word = word << 32 | half;
        } else if (size > 0) {
            word = (uint64_t)at[0] << 16 | (uint64_t)at[size >> 1] << 8 | at[size - 1];
        }
        state = (state ^ word) * 0x9E3779B97F4A7C15u;
        return (uint32_t)(state >> 32);
    }
    """
    int pending_error "pynode_pending"() except -1
    object owned "pynode_owned"(PyObject*)
    bint equal "pynode_equal"(const char*, const unsigned char*, Py_ssize_t) nogil
    void copy_short "pynode_copy"(unsigned char*, const char*, Py_ssize_t) nogil
    bint compact_int "pynode_compact"(PyObject*, long long*) nogil
    void in_huge_pages "pynode_in_huge_pages"(const void*, Py_ssize_t) noexcept nogil
    uint32_t get32 "pynode_get32"(const unsigned char*) nogil
    uint64_t get64 "pynode_get64"(const unsigned char*) nogil
    double get_double "pynode_get_double"(const unsigned char*) nogil
    void set32 "pynode_set32"(unsigned char*, uint32_t) nogil
    void set_double "pynode_set_double"(unsigned char*, double) nogil
    uint32_t hash_bytes "pynode_hash"(const unsigned char*, Py_ssize_t) nogil
    dict new_dict "__Pyx_PyDict_NewPresized"(Py_ssize_t)
