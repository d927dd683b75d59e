"""A server of pictures for benchmarks, alone in a process: it counts requests and can be slow to give.

`python -m tests.bench.picture_server PORT`. Paths: /ok/N; /busy/N (503 twice, then fine); /limited/N (429 with
Retry-After of a second, once); /gone/N (404); /stats (JSON of what was asked for, and begins anew).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

from tests.bench.pictures import DIFFERENT, jpeg

SIDE = 256
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - 127.0.0.1 and 127.0.0.2 are two hosts
STATUS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 503: "Service Unavailable"}


class Pictures:
    """What is given, and what was asked for.

    Attributes:
        seen: how often each path was asked for.
        times: when, seconds, by host.
    """

    def __init__(self) -> None:
        """Draw the pictures."""
        self.pictures = [jpeg(seed, SIDE) for seed in range(DIFFERENT)]
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.seen: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}

    def answer(self, host: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        if path == "/stats":
            told = {"requests": self.seen.total(), "busiest": {h: busiest(t) for h, t in self.times.items()}}
            self.forget()
            return 200, {}, json.dumps(told).encode()
        self.times.setdefault(host, []).append(time.monotonic())
        self.seen[path] += 1
        kind, _, number = path.strip("/").partition("/")
        if kind == "gone":
            return 404, {}, b""
        if kind == "busy" and self.seen[path] <= 2:
            return 503, {}, b""
        if kind == "limited" and self.seen[path] == 1:
            return 429, {"Retry-After": "1"}, b""
        return 200, {"Content-Type": "image/jpeg"}, self.pictures[int(number) % len(self.pictures)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection, one after another."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
                status, headers, body = self.answer(told.get("host", ""), lines[0].split(" ")[1])
                headers = {"Content-Length": str(len(body)), **headers}
                start = f"HTTP/1.1 {status} {STATUS[status]}\r\n"
                rest = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"{start}{rest}\r\n".encode() + body)
                await writer.drain()
                if told.get("connection", "").lower() == "close":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def busiest(times: list[float], seconds: float = 1.0) -> int:
    """Return how many requests came within so many seconds at most."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


async def main(port: int) -> None:
    """Serve until the process is ended; a line says that it listens."""
    server = await asyncio.start_server(Pictures().serve, ALL_ADDRESSES, port, backlog=1024)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
