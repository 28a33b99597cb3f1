"""`python -m bench.webhook_target`: a receiver in a process of its own, that takes everything.

It prints its port, and for each line on standard input the calls so far. It stands for another
machine, so it has the lowest priority here.
"""

import asyncio
import os
import sys

ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


async def main() -> None:
    """Serve until standard input ends."""
    calls = 0
    os.nice(19)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()
        calls += 1

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(calls, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
