"""The client's connections: opened before the clock starts, kept, replaced when they break."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence

from bench_agent.load.link import Link
from bench_agent.load.plan import Endpoint

CONNECT_S = 10.0
SENDING = select.EPOLLIN | select.EPOLLOUT


class Connections:
    """All links of one worker, by descriptor, and the idle ones by endpoint."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.links: dict[int, Link] = {}
        self.epoll = select.epoll()
        self._endpoints = endpoints
        self._dead: list[Link] = []
        self._idle: list[list[Link]] = [[] for _ in endpoints]
        self._places = [_resolve(endpoint) for endpoint in endpoints]

    def open(self, number: int) -> Link:
        """Begin a connection to an endpoint; it may be refused at once."""
        family, address = self._places[number]
        link = Link(self._endpoints[number], number, family, address)
        if link.refusal is None:
            self.links[link.fd] = link
            self.epoll.register(link.fd, SENDING)
        return link

    def open_ahead(self, streams: int) -> None:
        """Have *streams* connections stand before the clock starts; refusals show later."""
        share = -(-streams // len(self._endpoints))
        opened = [self.open(n) for n in range(len(self._endpoints)) for _ in range(share)]
        waiting = {link.fd for link in opened if link.refusal is None}
        deadline = time.monotonic() + CONNECT_S
        while waiting and time.monotonic() < deadline:
            for fd, _mask in self.epoll.poll(0.1):
                link = self.links[fd]
                waiting.discard(fd)
                if link.finish_connect():
                    self.release(link)
                else:
                    self.close(link)
        for link in opened:
            if not link.connected:
                self.close(link)

    def take(self, number: int) -> Link:
        """An idle connection to that endpoint, or a new one."""
        idle = self._idle[number]
        return idle.pop() if idle else self.open(number)

    def release(self, link: Link) -> None:
        """*link* is idle."""
        self.epoll.modify(link.fd, select.EPOLLIN)
        self._idle[link.number].append(link)

    def close(self, link: Link) -> None:
        """*link* is of no use any more. `bury` gives its descriptor back: not before all events
        of one wake-up are worked off, or a new connection might get events of an old one.
        """  # noqa: D205 - one thought
        if self.links.pop(link.fd, None) is not None:
            self.epoll.unregister(link.fd)
            if link in self._idle[link.number]:
                self._idle[link.number].remove(link)
        self._dead.append(link)

    def bury(self) -> None:
        """Close the sockets of dead links."""
        while self._dead:
            self._dead.pop().sock.close()

    def close_all(self) -> None:
        """End all connections."""
        for link in list(self.links.values()):
            self.close(link)
        self.bury()
        self.epoll.close()


def _resolve(endpoint: Endpoint) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(*endpoint.address, type=socket.SOCK_STREAM)
    except OSError:
        return socket.AF_INET, ("0.0.0.0", 0)  # noqa: S104 - nothing answers there: "refused"
    family, _kind, _proto, _name, address = found[0]
    return family, (str(address[0]), int(address[1]))
