"""TLS under the distribution: the same channel, with the bytes encrypted between it and the kernel.

The contexts are the standard library's.  Encryption goes on in memory (``ssl.SSLObject``) and not
in a transport, so that reading in portions, large frames in place, back-pressure and a close that
is one at once are what they are without it.

The handshake of the distribution then has lengths of four bytes from its first message on; what is
registered with EPMD, and how EPMD is asked, does not change.
Source: ``inet_tls_dist.erl``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any, Final, NamedTuple

from pynode.config import TlsConfig
from pynode.errors import ConfigError
from pynode.net.channel import TURN_WRITE_BYTES, Channel, Receiver, TlsFault

__all__ = ["TlsChannel", "TlsContexts", "tls_contexts"]

#: Encrypted at a time; what waits behind it can still be dropped by a close.
_PORTION_BYTES: Final = 256 * 1024
#: Answers of TLS's own, to new keys and the like, that may wait for a peer that does not read.
_MOST_ANSWERS_BYTES: Final = 64 * 1024
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class TlsContexts(NamedTuple):
    """What the two ends of a connection are made from."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def tls_contexts(config: TlsConfig) -> TlsContexts:
    """Make the contexts.

    Raises:
        ConfigError: a file is missing, or is not what it should be; or ``verify`` without
            ``cafile``.
    """
    if config.verify and config.cafile is None:
        raise ConfigError(
            "TLS that verifies peers needs cafile=, the certificates of who signed theirs; "
            "verify=False encrypts, and trusts whoever has the cookie"
        )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = config.verify and config.check_hostname
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A peer could have all writing wait for it.  New keys of TLS 1.3 are something else.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.verify_mode = ssl.CERT_REQUIRED if config.verify else ssl.CERT_NONE
        try:
            context.load_cert_chain(config.certfile, config.keyfile, config.password)
            if config.cafile is not None:
                context.load_verify_locations(config.cafile)
        except (OSError, ValueError) as error:
            files = f"{config.certfile}, {config.keyfile}, {config.cafile}"
            raise ConfigError(f"TLS: one of the files {files} cannot be used: {error}") from error
    return TlsContexts(server, client)


class TlsChannel(Channel):
    """A channel whose bytes are encrypted; what is written before that is agreed on waits."""

    scatters = False

    __slots__ = ("_again", "_cipher", "_incoming", "_outgoing", "_plain", "_secured", "_tls")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        receiver: Receiver,
        contexts: TlsContexts,
        server_name: str | None,
    ) -> None:
        """Begin as the client that looks for ``server_name``, or for None as the server."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        if server_name is None:
            self._tls = contexts.server.wrap_bio(self._incoming, self._outgoing, server_side=True)
        else:
            self._tls = contexts.client.wrap_bio(
                self._incoming, self._outgoing, server_hostname=server_name
            )
        self._secured = False
        #: Encrypted and not yet with the kernel, and how many bytes of plain text that is.
        self._cipher = memoryview(b"")
        self._plain = 0
        self._again: asyncio.Handle | None = None
        super().__init__(loop, sock, receiver)
        self._shake()

    # ------------------------------------------------------------------ reading

    def pause(self) -> None:
        """Leave what arrives in the kernel, and what was read undecrypted."""
        super().pause()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def resume(self) -> None:
        """Read (again)."""
        super().resume()
        if self._incoming.pending and not self.closed:
            self._read_again()

    def _read_again(self) -> None:
        if self._again is None:
            self._again = self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._again = None
        self._readable()

    def _receive(self, buffer: memoryview, size: int) -> int:
        ended = not self._fetch(size)
        if self.closed or not (self._secured or self._shake()):
            if ended and not self.closed:
                self._lose(TlsFault("it closed the connection in the handshake of TLS"))
            return 0
        count = 0
        try:
            while count < size:
                with buffer[count:size] as rest:
                    # With a buffer it returns how much it put there, whatever the stubs say.
                    read: Any = self._tls.read(size - count, rest)
                if read == 0:
                    ended = True
                    break
                count += read
                if not (ended or self._incoming.pending or self._tls.pending()):
                    break  # to ask for more would raise
            else:
                self._read_again()  # the kernel may have nothing more to wake us with
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            ended = True
        except ssl.SSLError as error:
            self._lose(_fault(error))
            return 0
        if self._outgoing.pending:  # a new key has been asked for
            self._flush()
        if self._outgoing.pending > _MOST_ANSWERS_BYTES:
            self._lose(TlsFault("it asks for new keys and does not read"))
            return 0
        self.bytes_in += count
        if ended and not count:
            self._lose(None)
        elif ended:
            self._read_again()
        return count

    def _fetch(self, size: int) -> bool:
        """Take what the kernel has; False at the end, or where the socket is lost."""
        try:
            data = self.sock.recv(max(4096, min(size, _PORTION_BYTES)))
        except (BlockingIOError, InterruptedError):
            return True
        except OSError as error:
            self._lose(error)
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    def _shake(self) -> bool:
        """Go on with the handshake; tell whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert, so that the other side knows why
            self._lose_soon(_fault(error))
            return False
        self._secured = True
        self._flush()
        return True

    # ------------------------------------------------------------------ writing

    def _flush(self) -> None:
        self.write(())

    def write_one(self, data: bytes) -> None:
        """As :meth:`write`, for one buffer."""
        self.write((data,))

    def _unsent(self) -> bool:
        return bool(self._cipher) or (self._secured and bool(self._out))

    def _send(self) -> None:
        budget = TURN_WRITE_BYTES
        while budget > 0:
            if not self._cipher and not self._encrypt():
                return
            try:
                sent = self.sock.send(self._cipher, socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._cipher = memoryview(b"")
                self._lose_soon(error)
                return
            budget -= sent
            self._cipher = self._cipher[sent:]
            if not self._cipher:
                self.bytes_out += self._plain
                self.out_bytes -= self._plain
                self._plain = 0

    def _encrypt(self) -> bool:
        """Encrypt a portion of what waits; tell whether there is something to send."""
        out = self._out
        while self._secured and out and self._plain < _PORTION_BYTES:
            first = out[0]
            try:
                with memoryview(first) as whole, whole[:_PORTION_BYTES] as portion:
                    written = self._tls.write(portion)
            except ssl.SSLError as error:
                self._lose_soon(_fault(error))
                break
            self._plain += written
            if written == len(first):
                out.popleft()
            else:
                out[0] = memoryview(first)[written:]
        self._cipher = memoryview(self._outgoing.read())
        return bool(self._cipher)

    # ------------------------------------------------------------------ ending

    def close(self) -> None:
        """Close now, and say so to the other side if the kernel takes it."""
        if not self.closed and self._secured and not self._cipher:
            with contextlib.suppress(OSError):
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                self.sock.send(self._outgoing.read(), socket.MSG_NOSIGNAL)
        self._cipher = memoryview(b"")
        super().close()


def _fault(error: ssl.SSLError) -> TlsFault:
    """Say what an error of TLS means for a connection between nodes."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFault(f"its certificate is refused here: {error.verify_message}")
    reason = error.reason or str(error)
    if isinstance(error, ssl.SSLEOFError):
        return TlsFault("it closed the connection in the handshake of TLS")
    if reason in _NOT_TLS:
        return TlsFault(f"it does not speak TLS ({reason.lower().replace('_', ' ')})")
    if "ALERT" in reason:
        return TlsFault(f"it refuses ours: {reason.lower().replace('_', ' ')}")
    return TlsFault(reason.lower().replace("_", " "))
