# C: the clock, the exception under way, contexts and weak references, and what Python gives.

cdef extern from *:
    """
    #include <time.h>

    /* The clock of time.monotonic(). */
    static inline double pynode_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }

    /* Another number every few milliseconds, which costs a third of a clock; or at each call. */
    static inline long long pynode_moment(void) {
        static long long moments = 0;
    #ifdef CLOCK_MONOTONIC_COARSE
        struct timespec now;
        if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0)
            return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
    #endif
        return --moments;
    }

    /* What is being raised, and is not any more; NULL: nothing. */
    static inline PyObject *pynode_raised(void) {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *kind, *value, *trace;
        PyErr_Fetch(&kind, &value, &trace);
        if (kind == NULL)
            return NULL;
        PyErr_NormalizeException(&kind, &value, &trace);
        if (trace != NULL) {
            PyException_SetTraceback(value, trace);
            Py_DECREF(trace);
        }
        Py_DECREF(kind);
        return value;
    #endif
    }

    /* Whether two contexts hold the very same variables: what they refer to is immutable, and
       another object after each change.  Both are alive, and nobody is in them. */
    typedef struct { int count; PyObject *seen[4]; } pynode_referents;

    static int pynode_visit(PyObject *object, void *into) {
        pynode_referents *found = (pynode_referents *)into;
        if (found->count < 4)
            found->seen[found->count] = object;
        found->count++;
        return 0;
    }

    static int pynode_same_variables(PyObject *one, PyObject *other) {
        pynode_referents first = {0}, second = {0};
        traverseproc traverse = Py_TYPE(one)->tp_traverse;
        if (traverse == NULL || Py_TYPE(one) != Py_TYPE(other))
            return 0;
        traverse(one, pynode_visit, &first);
        traverse(other, pynode_visit, &second);
        if (first.count != second.count || first.count == 0 || first.count > 4)
            return 0;
        for (int i = 0; i < first.count; i++)
            if (first.seen[i] != second.seen[i])
                return 0;
        return 1;
    }

    /* The one thing that a context refers to while nobody is in it, its variables; NULL: it is
       made otherwise. */
    static PyObject *pynode_variables(PyObject *context) {
        pynode_referents found = {0};
        traverseproc traverse = Py_TYPE(context)->tp_traverse;
        if (traverse == NULL)
            return NULL;
        traverse(context, pynode_visit, &found);
        return found.count == 1 ? found.seen[0] : NULL;
    }

    /* What a weak reference refers to, if it is there. */
    static PyObject *pynode_referent(PyObject *reference) {
        PyObject *found = NULL;
    #if PY_VERSION_HEX >= 0x030D0000
        if (PyWeakref_GetRef(reference, &found) < 0)
            PyErr_Clear();
    #else
        found = PyWeakref_GetObject(reference);
        if (found == Py_None)
            found = NULL;
        Py_XINCREF(found);
    #endif
        return found;
    }

    static int pynode_is_coroutine_function(PyObject *object) {
        if (!PyFunction_Check(object))
            return 0;
        return (((PyCodeObject *)PyFunction_GET_CODE(object))->co_flags & CO_COROUTINE) != 0;
    }

    static int pynode_has_weakrefs(PyObject *object) {
        Py_ssize_t offset = Py_TYPE(object)->tp_weaklistoffset;
        return offset <= 0 || *(PyObject **)((char *)object + offset) != NULL;
    }

    /* Steps by ``await`` go this way on CPython 3.10 and 3.11, where a value needs no exception. */
    static void pynode_set_send(PyTypeObject *type, void *function) {
        if (type->tp_as_async != NULL)
            type->tp_as_async->am_send = (sendfunc)function;
    }

    static void pynode_set_traverse(PyTypeObject *type, void *function) {
        type->tp_traverse = (traverseproc)function;
    }

    /* A class in Python finds these by name, at each use, though it only inherits them. */
    static void pynode_lend_slots(PyTypeObject *type, PyTypeObject *base) {
        if (type->tp_as_async != NULL && base->tp_as_async != NULL) {
            type->tp_as_async->am_aiter = base->tp_as_async->am_aiter;
            type->tp_as_async->am_anext = base->tp_as_async->am_anext;
        }
    }
    """
    double monotonic "pynode_now"() noexcept
    long long moment "pynode_moment"() noexcept
    void set_traverse "pynode_set_traverse"(PyTypeObject*, void*) noexcept
    void lend_slots "pynode_lend_slots"(PyTypeObject*, PyTypeObject*) noexcept
    PyObject* raised "pynode_raised"() noexcept
    bint same_variables "pynode_same_variables"(object, object) noexcept
    PyObject* variables "pynode_variables"(object) noexcept
    bint is_coroutine_function "pynode_is_coroutine_function"(object) noexcept
    PyObject* referent "pynode_referent"(object) noexcept
    bint has_weakrefs "pynode_has_weakrefs"(object) noexcept
    void set_send "pynode_set_send"(PyTypeObject*, void*) noexcept

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    int PyContext_Enter(object) except -1
    int enter_context "PyContext_Enter"(object) noexcept
    int PyContext_Exit(object) except -1
    object PyContext_Copy(object)
    object PyContext_CopyCurrent()
    object PyContextVar_Set(object, object)
    int PyContextVar_Get(object, PyObject*, PyObject**) except -1
    int PyIter_Send(object, object, PyObject**) noexcept
    bint PyCoro_CheckExact(object) noexcept
    PyObject* PyObject_CallMethodOneArg(object, object, object) noexcept
    PyObject* PyObject_CallOneArg(object, object) noexcept
    PyObject* PyObject_Call(object, object, PyObject*) noexcept
    PyObject* PyObject_Vectorcall(object, PyObject**, size_t, PyObject*) noexcept
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    PyObject* PyDict_GetItemWithError(object, object) except? NULL
    bint PyErr_ExceptionMatches(object) noexcept
    int PyErr_WarnEx(object, const char*, Py_ssize_t) noexcept
    void PyErr_WriteUnraisable(object) noexcept
    void PyErr_Clear() noexcept
    void PyObject_GC_UnTrack(void*) noexcept
    void PyObject_GC_Track(void*) noexcept
    bint PyObject_GC_IsTracked(object) noexcept
    bint is_tracked "PyObject_GC_IsTracked"(PyObject*) noexcept
    Py_ssize_t references "Py_REFCNT"(PyObject*) noexcept
    Py_ssize_t Py_REFCNT(object) noexcept
    unsigned long PyThread_get_thread_ident() noexcept
