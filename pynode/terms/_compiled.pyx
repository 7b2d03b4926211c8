# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Atoms, pids, references and improper lists as C structures: the twins of ``_pure_values``.

They are final, untracked by the garbage collector where they can be in no cycle, hashed once, and
read by the compiled codec without a look-up.  What they promise is said beside the pure ones.
"""

cimport cython
from cpython.object cimport PyObject, newfunc
from libc.stdint cimport uint32_t, uint64_t

import struct

__all__ = ["Atom", "ImproperList", "Pid", "Reference", "atom"]

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object, object) except? NULL
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    object PyObject_GenericGetAttr(object, object)
    int Py_EnterRecursiveCall(const char*) except -1
    void Py_LeaveRecursiveCall()
    Py_hash_t PyObject_Hash(object) except? -1
    bint PyLong_CheckExact(object)
    Py_ssize_t PyVectorcall_NARGS(size_t)
    ctypedef void* vectorcallfunc
    ctypedef struct TypeObject "PyTypeObject":
        const char* tp_name
        newfunc tp_new
        vectorcallfunc tp_vectorcall

cdef Py_ssize_t MAX_CHARACTERS = 255
cdef Py_ssize_t CACHE_LIMIT = 65_536

cdef dict _cache = {}
cdef dict _python = {"true": True, "false": False, "nil": None}
cdef object _pid_wire = struct.Struct(">III").pack


# --------------------------------------------------------------------------- atoms


@cython.final
cdef class Atom:
    """An Erlang atom; ``name`` is its text without quotes."""

    __slots__ = ("name", "wire")

    def __setattr__(self, name, value):
        raise AttributeError("an Atom cannot be changed")

    def __delattr__(self, name):
        raise AttributeError("an Atom cannot be changed")

    def __eq__(self, other):
        if self is other:
            return True
        if type(other) is Atom:
            return self.name == (<Atom>other).name
        return NotImplemented

    def __hash__(self):
        return self._hash

    def __str__(self):
        return self.name

    def __repr__(self):
        if self.name.isidentifier() and not self.name.startswith("__"):
            return f"atom.{self.name}"
        return f"atom({self.name!r})"

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return Atom, (self.name,)


cdef Atom _fresh_atom(str name):
    """Make the atom of a name that is not among the known ones."""
    cdef bytes text
    cdef Atom self
    if name in _python:
        raise ValueError(f"the atom {name} is {_python[name]!r} in Python")
    if len(name) > MAX_CHARACTERS:
        raise ValueError(f"an atom has at most 255 characters, this one {len(name)}")
    text = name.encode("utf-8")
    self = Atom.__new__(Atom)
    if len(text) < 256:
        self.wire = b"w" + bytes((len(text),)) + text
    else:
        self.wire = b"v" + len(text).to_bytes(2, "big") + text
    self.name = name
    self._hash = PyObject_Hash(name) ^ 0x61746f6d
    if self._hash == -1:
        self._hash = -2
    if len(_cache) >= CACHE_LIMIT:
        _cache.clear()
    _cache[name] = self
    return self


cdef Atom intern_atom(str name):
    cdef PyObject* found = PyDict_GetItemWithError(_cache, name)
    if found is not NULL:
        return <Atom>found
    return _fresh_atom(name)


def _new_atom(name):
    if type(name) is not str:
        if not isinstance(name, str):
            raise TypeError(f"an atom is made of a str, not of {type(name).__name__}")
        name = str.__str__(name)
    return intern_atom(name)


# The type's own constructors would make a new atom each time; these two look for it first.


cdef object _atom_tp_new(PyObject* kind, object arguments, PyObject* named):
    return _new_atom(*arguments, **(<object>named if named is not NULL else {}))


cdef object _atom_vectorcall(PyObject* kind, PyObject** arguments, size_t count, PyObject* names):
    if names is NULL and PyVectorcall_NARGS(count) == 1 and type(<object>arguments[0]) is str:
        return intern_atom(<object>arguments[0])
    positional = [<object>arguments[index] for index in range(PyVectorcall_NARGS(count))]
    named = {}
    if names is not NULL:
        for index, name in enumerate(<tuple>names):
            named[name] = <object>arguments[len(positional) + index]
    return _new_atom(*positional, **named)


@cython.final
cdef class _AtomFactory:
    """``atom.name`` and ``atom("any name")``; the first form is a value pattern in ``match``."""

    def __getattribute__(self, str name):
        if name.startswith("__") and name.endswith("__"):
            return PyObject_GenericGetAttr(self, name)
        return intern_atom(name)

    def __call__(self, name):
        return intern_atom(name) if type(name) is str else _new_atom(name)

    def __repr__(self):
        return "atom"


# --------------------------------------------------------------------------- identifiers


cdef inline bint _word(object value, uint32_t* word) except -1:
    """Store an int of 32 bits; False: it is none."""
    cdef int overflow = 0
    cdef long long number
    if not PyLong_CheckExact(value):
        return False
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or number < 0 or number > 0xFFFFFFFFLL:
        return False
    word[0] = <uint32_t>number
    return True


cdef inline uint64_t _mix(uint64_t state, uint64_t word) noexcept:
    state = (state ^ word) * <uint64_t>0x9E3779B97F4A7C15
    return state ^ (state >> 32)


cdef inline Py_hash_t _hash_of(uint64_t state) noexcept:
    cdef Py_hash_t found = <Py_hash_t>state
    return -2 if found == -1 else found


cdef inline bint _same(object one, object other) except -1:
    return one is other or one == other


cdef inline void _hash_pid(Pid pid) noexcept:
    cdef uint64_t state = <uint64_t>(<Atom>pid.node)._hash
    state = _mix(state, (<uint64_t>pid.serial_number << 32) | pid.number)
    pid._hash = _hash_of(_mix(state, pid.life))


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Pid:
    """A process identifier.  Prints as ``#PID<node1@host.59.0>``."""

    __slots__ = ("node", "id", "serial", "creation")

    def __init__(self, node, id, serial, creation):
        self.node = node
        if (
            type(node) is Atom
            and _word(id, &self.number)
            and _word(serial, &self.serial_number)
            and _word(creation, &self.life)
        ):
            self.odd = None
            _hash_pid(self)
        else:
            self.odd = (id, serial, creation)
            self._hash = PyObject_Hash((node, id, serial, creation))

    @property
    def id(self):
        return self.number if self.odd is None else self.odd[0]

    @property
    def serial(self):
        return self.serial_number if self.odd is None else self.odd[1]

    @property
    def creation(self):
        return self.life if self.odd is None else self.odd[2]

    @property
    def _wire(self):
        """The external form, for the pure codec, which keeps it in its own class."""
        if self.odd is not None:
            raise AttributeError("_wire")
        parts = _pid_wire(self.number, self.serial_number, self.life)
        return b"X" + (<Atom>self.node).wire + parts

    @_wire.setter
    def _wire(self, value):
        pass

    def __setattr__(self, name, value):
        if name != "_wire":
            raise AttributeError("a Pid cannot be changed")

    def __delattr__(self, name):
        raise AttributeError("a Pid cannot be changed")

    def __eq__(self, other):
        cdef Pid pid
        if self is other:
            return True
        if type(other) is not Pid:
            return NotImplemented
        pid = <Pid>other
        if self._hash != pid._hash:
            return False
        if self.odd is not None or pid.odd is not None:
            return (self.id, self.serial, self.creation, self.node) == (
                pid.id, pid.serial, pid.creation, pid.node
            )
        return (
            self.number == pid.number
            and self.serial_number == pid.serial_number
            and self.life == pid.life
            and _same(self.node, pid.node)
        )

    def __hash__(self):
        return self._hash

    def __repr__(self):
        return f"#PID<{self.node}.{self.id}.{self.serial}>"

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return Pid, (self.node, self.id, self.serial, self.creation)


cdef Pid make_pid(Atom node, uint32_t number, uint32_t serial, uint32_t life):
    cdef Pid self = Pid.__new__(Pid)
    self.node = node
    self.number = number
    self.serial_number = serial
    self.life = life
    _hash_pid(self)
    return self


cdef inline void _hash_reference(Reference ref) noexcept:
    cdef uint64_t state = <uint64_t>(<Atom>ref.node)._hash
    cdef uint32_t index
    state = _mix(state, (<uint64_t>ref.count << 32) | ref.life)
    for index in range(ref.count):
        state = _mix(state, ref.numbers[index])
    ref._hash = _hash_of(state)


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Reference:
    """A reference; ``words`` are its one to five 32-bit numbers in the order of the wire.

    Prints as ``#Reference<node1@host.1.2.3>``, the most significant word first as OTP does.
    """

    __slots__ = ("node", "creation", "words")

    def __init__(self, node, creation, words):
        cdef Py_ssize_t size
        cdef Py_ssize_t index
        cdef bint plain = False
        self.node = node
        if type(node) is Atom and type(words) is tuple and _word(creation, &self.life):
            size = len(<tuple>words)
            if 1 <= size <= 5:
                plain = True
                self.count = <uint32_t>size
                for index in range(size):
                    if not _word((<tuple>words)[index], &self.numbers[index]):
                        plain = False
                        break
        if plain:
            self.odd = None
            _hash_reference(self)
        else:
            self.odd = (creation, words)
            self._hash = PyObject_Hash((words, creation, node))

    @property
    def creation(self):
        return self.life if self.odd is None else self.odd[0]

    @property
    def words(self):
        cdef uint32_t* numbers = self.numbers
        if self.odd is not None:
            return self.odd[1]
        if self.count == 3:
            return (numbers[0], numbers[1], numbers[2])
        return tuple([numbers[index] for index in range(self.count)])

    def __setattr__(self, name, value):
        raise AttributeError("a Reference cannot be changed")

    def __delattr__(self, name):
        raise AttributeError("a Reference cannot be changed")

    def __eq__(self, other):
        cdef Reference ref
        cdef uint32_t index
        if self is other:
            return True
        if type(other) is not Reference:
            return NotImplemented
        ref = <Reference>other
        if self._hash != ref._hash:
            return False
        if self.odd is not None or ref.odd is not None:
            return (self.words, self.creation, self.node) == (ref.words, ref.creation, ref.node)
        if self.count != ref.count or self.life != ref.life:
            return False
        for index in range(self.count):
            if self.numbers[index] != ref.numbers[index]:
                return False
        return _same(self.node, ref.node)

    def __hash__(self):
        return self._hash

    def __repr__(self):
        words = ".".join([str(word) for word in reversed(self.words)])
        return f"#Reference<{self.node}.{words}>"

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return Reference, (self.node, self.creation, self.words)


cdef Reference make_reference(Atom node, uint32_t life, uint32_t count, const uint32_t* numbers):
    cdef Reference self = Reference.__new__(Reference)
    cdef uint32_t index
    self.node = node
    self.life = life
    self.count = count
    for index in range(count):
        self.numbers[index] = numbers[index]
    _hash_reference(self)
    return self


# --------------------------------------------------------------------------- improper lists


@cython.final
@cython.freelist(128)
cdef class ImproperList:
    """A list whose tail is no list: ``[alias|Ref]`` is ``ImproperList([atom.alias], ref)``.

    ``elements`` is a tuple of one or more terms.  A tail that is an improper list itself is taken
    up, so that each term has one form.

    Raises:
        ValueError: no elements, or a tail that is a list (the whole is a list then).
    """

    __slots__ = ("elements", "tail")

    def __init__(self, elements, tail):
        elements = tuple(elements)
        if not elements:
            raise ValueError("an improper list has at least one element")
        if isinstance(tail, list):
            raise ValueError("a list with the tail of a list is a list")
        if type(tail) is ImproperList:
            elements += (<ImproperList>tail).elements
            tail = (<ImproperList>tail).tail
        self.elements = elements
        self.tail = tail

    def __setattr__(self, name, value):
        raise AttributeError("a ImproperList cannot be changed")

    def __delattr__(self, name):
        raise AttributeError("a ImproperList cannot be changed")

    def __eq__(self, other):
        if type(other) is ImproperList:
            return self.elements == (<ImproperList>other).elements and bool(
                self.tail == (<ImproperList>other).tail
            )
        return NotImplemented

    def __hash__(self):
        cdef uint64_t state
        Py_EnterRecursiveCall(b" while an improper list is hashed")
        try:
            state = _mix(<uint64_t>PyObject_Hash(self.elements), 0x696d7072)
            return _hash_of(_mix(state, <uint64_t>PyObject_Hash(self.tail)))
        finally:
            Py_LeaveRecursiveCall()

    def __repr__(self):
        return f"ImproperList({list(self.elements)!r}, {self.tail!r})"

    def _shown_parts(self):
        return "ImproperList(", (list(self.elements[:100]), self.tail), ")"

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return ImproperList, (self.elements, self.tail)


cdef ImproperList make_improper(tuple elements, object tail):
    cdef ImproperList self = ImproperList.__new__(ImproperList)
    self.elements = elements
    self.tail = tail
    return self


# --------------------------------------------------------------------------- what is seen

(<TypeObject*>Atom).tp_new = <newfunc>_atom_tp_new
(<TypeObject*>Atom).tp_vectorcall = <vectorcallfunc>_atom_vectorcall
# The names under which pickles and messages know them, as the pure ones.
(<TypeObject*>Atom).tp_name = b"pynode.terms.atom.Atom"
(<TypeObject*>Pid).tp_name = b"pynode.terms.identifiers.Pid"
(<TypeObject*>Reference).tp_name = b"pynode.terms.identifiers.Reference"
(<TypeObject*>ImproperList).tp_name = b"pynode.terms.compound.ImproperList"

atom = _AtomFactory()
