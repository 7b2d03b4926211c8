# The messages of one process: a ring of what nobody has looked at, before it what was skipped.

cdef enum:
    FEW = 4
    # As many are indexed rather than walked to.
    INDEXED = 64


@cython.no_gc
@cython.freelist(256)
cdef class Mailbox:
    """The messages of one process.

    What nobody has looked at is a ring; it is not tracked by the garbage collector, as messages
    do not refer to their receiver.
    """

    def __cinit__(self):
        self._items = self._few
        self._room = FEW
        self._first = self._count = 0
        self.priority = 0
        self.scanning = False

    def __dealloc__(self):
        cdef Py_ssize_t place
        for place in range(self._count):
            Py_DECREF(<object>self._items[(self._first + place) & (self._room - 1)])
        self._count = 0
        if self._items != self._few:
            free(self._items)

    cdef int _grow(self) except -1:
        cdef Py_ssize_t place
        cdef void** items = <void**>malloc(2 * self._room * sizeof(void*))
        if items == NULL:
            raise MemoryError
        for place in range(self._count):
            items[place] = self._items[(self._first + place) & (self._room - 1)]
        if self._items != self._few:
            free(self._items)
        self._items = items
        self._first = 0
        self._room *= 2
        return 0

    cdef void _shrink(self):
        if self._items != self._few:
            free(self._items)
            self._items = self._few
            self._room = FEW
        self._first = 0

    cdef int push(self, object message) except -1:
        if self._count == self._room:
            self._grow()
        Py_INCREF(message)
        self._items[(self._first + self._count) & (self._room - 1)] = <void*>message
        self._count += 1
        return 0

    cdef int push_front(self, object message) except -1:
        if self._count == self._room:
            self._grow()
        Py_INCREF(message)
        self._first = (self._first - 1) & (self._room - 1)
        self._items[self._first] = <void*>message
        self._count += 1
        return 0

    cdef object pop(self):
        if self._count == 0:
            raise IndexError("an empty mailbox")
        message = <object>self._items[self._first]
        self._first = (self._first + 1) & (self._room - 1)
        self._count -= 1
        Py_DECREF(message)
        if self._count == 0 and self._room > INDEXED:
            self._shrink()
        return message

    cdef Py_ssize_t all(self):
        return self._count + (0 if self.saved is None else len(self.saved))

    # As deques have them.

    def append(self, message):
        """Put ``message`` behind the others."""
        self.push(message)

    def appendleft(self, message):
        """Put ``message`` before all that nobody has looked at."""
        self.push_front(message)

    def extend(self, messages):
        """Put ``messages`` behind the others."""
        for message in messages:
            self.push(message)

    def popleft(self):
        """Remove and return the first that nobody has looked at."""
        return self.pop()

    def __len__(self):
        return self._count

    def __bool__(self):
        return self.all() > 0

    def __iter__(self):
        return iter(self._unseen())

    def __sizeof__(self):
        size = object.__sizeof__(self)
        return size if self._items == self._few else size + self._room * sizeof(void*)

    def _unseen(self):
        cdef Py_ssize_t place
        return [
            <object>self._items[(self._first + place) & (self._room - 1)]
            for place in range(self._count)
        ]

    # As the pure one has them.

    def total(self):
        """Return how many messages wait."""
        return self.all()

    def messages(self):
        """Return all messages in order; the mailbox keeps them."""
        return [*(self.saved or ()), *self._unseen()]

    def push_priority(self, message, receivers):
        """Put ``message`` behind the priority messages and before all others."""
        if self.scanning:
            self.push_front(message)
            return
        if self.saved is None:
            self.saved = deque()
        self.saved.insert(self.priority, message)
        for receiver in receivers or ():
            receiver.seen = min(receiver.seen, self.priority)
        self.priority += 1

    def take(self, receivers=None):
        """Remove and return the first message.  There must be one."""
        return self.take_first(receivers)

    cdef object take_first(self, object who):
        if self.saved:
            return self._take_saved(0, who)
        return self.pop()

    cdef object _take_saved(self, Py_ssize_t index, object who):
        message = self.saved[index]
        del self.saved[index]
        if index < self.priority:
            self.priority -= 1
        for receiver in (who.receivers if isinstance(who, ProcessCore) else who) or ():
            if receiver.seen > index:
                receiver.seen -= 1
        return message

    def find(self, match, receivers=None, receiver=None, *, text=False):
        """Remove and return the first message that ``match`` accepts, or return NOTHING."""
        try:
            return self.search(match, receivers, 0 if receiver is None else receiver.seen, text)
        finally:
            if match is not None and receiver is not None and self.saved is not None:
                receiver.seen = len(self.saved)

    cdef object search(self, object match, object who, Py_ssize_t seen, bint text):
        if self.scanning:
            raise RuntimeError("a match function cannot receive from the mailbox that it looks at")
        if match is None:
            if self.saved:
                message = self._take_saved(0, who)
            elif self._count:
                message = self.pop()
            else:
                return _NOTHING
            return to_text(message) if text else message
        self.scanning = True
        try:
            if self.saved and seen < len(self.saved):
                message = self._search_saved(match, who, seen, text)
                if message is not _NOTHING:
                    return message
            return self._search_unseen(match, text)
        finally:
            self.scanning = False
            if self._unwanted is not None:
                dropped = self._unwanted
                self._unwanted = None
                for unwanted in dropped:
                    self.drop(unwanted, who)

    cdef object _search_saved(self, object match, object who, Py_ssize_t seen, bint text):
        cdef Py_ssize_t index = seen
        saved = self.saved
        if len(saved) - seen < INDEXED:
            unseen = [saved[place] for place in range(seen, len(saved))]
        else:
            unseen = islice(saved, seen, None)
        for message in unseen:
            if self._unwanted is None or not self._is_unwanted(message):
                candidate = to_text(message) if text else message
                if match(candidate):
                    self._take_saved(index, who)
                    return candidate
            index += 1
        return _NOTHING

    cdef object _search_unseen(self, object match, bint text):
        if self.saved is None:
            if self._count == 0:
                return _NOTHING
            self.saved = deque()
        saved = self.saved
        while self._count:
            message = self.pop()
            try:
                candidate = to_text(message) if text else message
                hidden = self._unwanted is not None and self._is_unwanted(message)
                accepted = not hidden and bool(match(candidate))
            except BaseException:
                self.push_front(message)
                raise
            if accepted:
                return candidate
            saved.append(message)
        return _NOTHING

    cdef bint _is_unwanted(self, object message) except -1:
        for unwanted in self._unwanted:
            if unwanted(message):
                return True
        return False

    def drop(self, unwanted, receivers=None):
        """Remove the first message for which ``unwanted`` is true, if there is one."""
        if self.scanning:
            if self._unwanted is None:
                self._unwanted = []
            self._unwanted.append(unwanted)
            return
        for index, message in enumerate(self.saved or ()):
            if unwanted(message):
                self._take_saved(index, receivers)
                return
        kept = []
        try:
            while self._count:
                message = self.pop()
                if unwanted(message):
                    return
                kept.append(message)
        finally:
            for message in reversed(kept):
                self.push_front(message)
