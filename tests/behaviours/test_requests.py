"""send_request and its collections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynode.behaviours import GenServer, Requests, gen, start
from pynode.behaviours.requests import send_request
from pynode.errors import (
    NO_REPLY,
    CallExit,
    CallingSelf,
    CallTimeout,
    EncodeError,
    NoConnection,
    NoProcess,
    Stop,
)
from pynode.process.runtime import Runtime
from pynode.terms import Pid, atom

from .helpers import DEADLINE, Echo, is_clean


class OnDemand(GenServer):
    """Answers its oldest call with each cast."""

    def init(self) -> None:
        self.callers: list[gen.Caller] = []

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        if request == atom.stop:
            raise Stop(atom.gone)
        self.callers.append(caller)
        return NO_REPLY

    def handle_cast(self, request: Any) -> None:
        self.callers.pop(0).reply(request)


async def test_receive_response(runtime: Runtime) -> None:
    pid = await start(runtime, Echo, name="echo")
    main = runtime.main
    request = send_request(main, "echo", 1)
    assert request.check_response() is NO_REPLY
    assert await request.receive_response(DEADLINE) == 1
    assert request.done
    assert request.check_response() == 1  # stays to be read
    text = send_request(main, pid, b"caf\xc3\xa9", text=True)
    assert await text.receive_response(DEADLINE) == "café"
    assert is_clean(main)


async def test_wait_response_goes_on_after_a_timeout_and_receive_does_not(
    runtime: Runtime,
) -> None:
    pid = await start(runtime, OnDemand)
    main = runtime.main
    request = send_request(main, pid, 1)
    for _ in range(3):
        with pytest.raises(CallTimeout):
            await request.wait_response(0.001)
    assert request.check_response() is NO_REPLY
    assert not request._slot._callbacks  # type: ignore[union-attr]
    gen.cast(main, pid, atom.answer)
    assert await request.wait_response(DEADLINE) == atom.answer

    request = send_request(main, pid, 2)
    with pytest.raises(CallTimeout):
        await request.receive_response(0.001)
    gen.cast(main, pid, atom.late)
    await gen.stop(main, pid)
    with pytest.raises(RuntimeError):
        request.result()
    assert is_clean(main)


async def test_cancelling_receive_gives_the_request_up_and_wait_does_not(runtime: Runtime) -> None:
    pid = await start(runtime, OnDemand)
    main = runtime.main
    for method in ("wait_response", "receive_response"):
        request = send_request(main, pid, 1)
        task = asyncio.create_task(getattr(request, method)())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert request.done == (method == "receive_response")
        request.close()
        request.close()
    assert is_clean(main)


async def test_a_request_never_fails_when_it_is_sent(runtime: Runtime) -> None:
    main = runtime.main
    cases: list[tuple[Any, type[CallExit]]] = [
        ("nobody", NoProcess),
        (main.pid, CallingSelf),
        (Pid(runtime.node_name, 999, 0, runtime.creation), NoProcess),
        (("name", "away@test"), NoConnection),
    ]
    for dest, error in cases:
        with send_request(main, dest, 1) as request, pytest.raises(error):
            await request.receive_response(DEADLINE)
    with pytest.raises(EncodeError):
        send_request(main, await start(runtime, Echo), object())
    assert is_clean(main)


async def test_leaving_with_gives_the_request_up(runtime: Runtime) -> None:
    pid = await start(runtime, OnDemand)
    with send_request(runtime.main, pid, 1) as request:
        assert "under way" in repr(request)
        assert not is_clean(runtime.main)
    assert is_clean(runtime.main)


async def test_a_collection_gives_answers_as_they_come(runtime: Runtime) -> None:
    slow = await start(runtime, OnDemand)
    quick = await start(runtime, Echo)
    main = runtime.main
    requests = Requests()
    assert await requests.receive_response(0) is None
    send_request(main, slow, 1, label=b"slow", collection=requests)
    send_request(main, quick, 2, label=b"quick", collection=requests)
    send_request(main, "nobody", 3, label=b"nobody", collection=requests)
    assert len(requests) == 3
    seen = {}
    for _ in range(2):
        answer = await requests.receive_response(DEADLINE)
        assert answer is not None
        seen[answer.label] = answer
    assert seen[b"quick"].result() == 2
    assert isinstance(seen[b"nobody"].error, NoProcess)
    with pytest.raises(NoProcess):
        seen[b"nobody"].result()
    with pytest.raises(CallTimeout):
        await requests.wait_response(0.001)
    assert len(requests) == 1
    assert requests.check_response() is None
    gen.cast(main, slow, atom.at_last)
    answer = await requests.wait_response(DEADLINE, delete=False)
    assert answer is not None
    assert answer.result() == atom.at_last
    again = requests.check_response()
    assert again is not None
    assert again.request is answer.request
    assert len(requests) == 0
    assert is_clean(main)


async def test_a_collection_gives_everything_up_after_receives_timeout(runtime: Runtime) -> None:
    slow = await start(runtime, OnDemand)
    requests = Requests()
    made = [send_request(runtime.main, slow, n, collection=requests, label=n) for n in range(3)]
    assert list(requests) == made
    with pytest.raises(ValueError, match="already"):
        requests.add(made[0])
    with pytest.raises(CallTimeout):
        await requests.receive_response(0.001)
    assert len(requests) == 0
    assert is_clean(runtime.main)


async def test_the_death_of_a_server_answers_all_its_requests(runtime: Runtime) -> None:
    slow = await start(runtime, OnDemand)
    main = runtime.main
    requests = Requests()
    for number in range(3):
        send_request(main, slow, number, collection=requests)
    send_request(main, slow, atom.stop, collection=requests)
    for _ in range(4):
        answer = await requests.receive_response(DEADLINE)
        assert answer is not None
        assert answer.error is not None
        assert answer.error.reason == atom.gone
