"""Many clients at once, from this machine's address, that are slow, silent, stalled or guess passwords."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from tests.gateway.gateway import NAME, Gateway, basic

Attack = Callable[["Target"], Awaitable[None]]
HEAD = f"HTTP/1.1\r\nHost: {NAME}\r\n"


@dataclass
class Target:
    """The attacked gateway; `open` is the number of current connections, `seen` counts the answers."""

    gateway: Gateway
    blob: str
    account: str = ""
    open: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.gateway_address = self.gateway.address
        self.trust = ssl.create_default_context(cafile=self.gateway.ca)

    @asynccontextmanager
    async def connected(
        self, *, tls: bool = True
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection with small receive buffers, and close it at the end."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        plain.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(plain, (self.gateway_address, 443))
            reader, writer = await asyncio.open_connection(
                sock=plain,
                limit=4096,
                ssl=self.trust if tls else None,
                server_hostname=NAME if tls else None,
            )
            self.open += 1
            try:
                yield reader, writer
            finally:
                self.open -= 1
                writer.transport.abort()
        finally:
            plain.close()


async def silent(target: Target) -> None:
    """Connect, and send nothing."""
    async with target.connected(tls=False) as (reader, _):
        await reader.read()


async def slow_header(target: Target) -> None:
    """Send a header byte by byte."""
    async with target.connected() as (reader, writer):
        for byte in f"GET /v2/ {HEAD}X-Long: {'x' * 1000}".encode():
            writer.write(bytes([byte]))
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.5)
                return


async def slow_reader(target: Target) -> None:
    """Read a blob a kilobyte at a time."""
    async with target.connected() as (reader, writer):
        authorization = target.gateway.authorization("pull")
        writer.write(f"GET {target.blob} {HEAD}Authorization: {authorization}\r\n\r\n".encode())
        target.seen[(await reader.readline()).decode().strip()] += 1
        while await reader.read(1024):
            await asyncio.sleep(0.5)


async def stalled_upload(target: Target) -> None:
    """Announce a megabyte, and send only ten bytes."""
    authorization = target.gateway.authorization("push")
    begun = await asyncio.to_thread(target.gateway.request, "POST", "/v2/half/blobs/uploads/", authorization)
    location = begun.header("Location")
    head = f"PATCH {location} {HEAD}Authorization: {authorization}\r\nContent-Length: 1000000\r\n\r\n"
    async with target.connected() as (reader, writer):
        writer.write(head.encode() + b"0123456789")
        target.seen[(await reader.readline()).decode().strip()] += 1


async def guess(target: Target) -> None:
    """Guess a password each second, and wait at most one second for the answer."""
    authorization = basic(target.account, os.urandom(8).hex())
    async with target.connected() as (reader, writer):
        writer.write(f"GET /v2/ {HEAD}Authorization: {authorization}\r\n\r\n".encode())
        pause = asyncio.create_task(asyncio.sleep(1))
        answer = asyncio.create_task(reader.readline())
        await asyncio.wait({pause, answer}, return_when=asyncio.FIRST_COMPLETED)
        target.seen[answer.result().decode().strip() if answer.done() else "given up"] += 1
        answer.cancel()
        await pause


@contextmanager
def under_attack(attack: Attack, target: Target, connections: int) -> Iterator[None]:
    """Keep this many connections of an attack open while the block runs; one that ends is opened again."""
    ended = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_keep_connections(attack, target, connections, ended))
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def _keep_connections(attack: Attack, target: Target, connections: int, ended: threading.Event) -> None:
    tasks = [asyncio.create_task(_repeat(attack, target)) for _ in range(connections)]
    await asyncio.to_thread(ended.wait)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(attack: Attack, target: Target) -> None:
    while True:
        try:
            await attack(target)
        except OSError as error:
            target.seen[type(error).__name__] += 1
            await asyncio.sleep(0.1)
