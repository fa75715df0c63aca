"""The client's connections: opened before the clock starts, kept, replaced when they break."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from bench_agent.load.lag import Lag
from bench_agent.load.link import Link
from bench_agent.load.pattern import Vocabulary
from bench_agent.load.plan import Endpoint, Load

CONNECT_S = 10.0


class Connections:
    """All links of one worker, by descriptor, and the idle ones by endpoint.

    `vocabulary` and `lag` are of what comes on all of them.
    """

    def __init__(self, endpoints: Sequence[Endpoint], load: Load) -> None:
        self.links: dict[int, Link] = {}
        self.epoll = select.epoll()
        self.vocabulary = Vocabulary()
        self.lag = Lag()
        self.ports: tuple[int, int] | None = None  # that connections are to begin at
        self.endpoints = endpoints
        self._dead: list[Link] = []
        self._idle: list[list[Link]] = [[] for _ in endpoints]
        self._places = [_resolve(endpoint) for endpoint in endpoints]
        tls = any(endpoint.tls for endpoint in endpoints)
        self._wrap = _wrapper(load) if tls else None

    def open(self, number: int) -> Link:
        """Begin a connection to an endpoint; it may be refused at once."""
        endpoint = self.endpoints[number]
        wrap = self._wrap if endpoint.tls else None
        link = Link(endpoint, number, self._places[number], wrap, self.ports)
        if link.refusal is None:
            self.links[link.fd] = link
            self.epoll.register(link.fd, link.sending)
        return link

    def open_ahead(self, streams: int) -> None:
        """Have *streams* connections stand before the clock starts; refusals show later."""
        share = -(-streams // len(self.endpoints))
        opened = [self.open(n) for n in range(len(self.endpoints)) for _ in range(share)]
        waiting = {link.fd for link in opened if link.refusal is None}
        deadline = time.monotonic() + CONNECT_S
        while waiting and time.monotonic() < deadline:
            for fd, _mask in self.epoll.poll(0.1):
                link = self.links[fd]
                if self.step(link):
                    self.release(link)
                elif link.refusal is None:
                    continue
                waiting.discard(fd)
        for link in opened:
            if not link.connected:
                self.close(link)

    def step(self, link: Link) -> bool:
        """One step of connecting; whether the connection stands now."""
        stands = link.finish_connect()
        if link.refusal is not None:
            self.close(link)
        elif not stands:
            self.epoll.modify(link.fd, link.sending if link.pending else link.receiving)
        return stands

    def take(self, number: int) -> Link:
        """An idle connection to that endpoint, or a new one."""
        idle = self._idle[number]
        return idle.pop() if idle else self.open(number)

    def release(self, link: Link) -> None:
        """*link* is idle."""
        self.epoll.modify(link.fd, link.receiving)
        self._idle[link.number].append(link)

    def close(self, link: Link) -> None:
        """*link* is of no use any more. `bury` gives its descriptor back: not before all events
        of one wake-up are worked off, or a new connection might get events of an old one.
        """  # noqa: D205 - one thought
        if self.links.get(link.fd) is link:
            del self.links[link.fd]
            self.epoll.unregister(link.fd)
            if link in self._idle[link.number]:
                self._idle[link.number].remove(link)
        if link.fd >= 0:
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
    """Family and address: the first that answers, of several (localhost may be ::1 as well)."""
    try:
        found = socket.getaddrinfo(*endpoint.address, type=socket.SOCK_STREAM)
    except OSError:
        return socket.AF_INET, ("0.0.0.0", 0)  # noqa: S104 - nothing answers there: "refused"
    places = [(family, (str(at[0]), int(at[1]))) for family, _kind, _proto, _name, at in found]
    for _family, address in places if len(places) > 1 else ():
        with suppress(OSError), socket.create_connection(address, timeout=1.0):
            return next(place for place in places if place[1] == address)
    return places[0]


def _wrapper(load: Load) -> Callable[[socket.socket, str], Any]:
    from bench_agent.load import tls  # noqa: PLC0415 - most loads can do without the library

    trust = tls.context(load.ca_file, insecure=load.insecure)
    return lambda sock, name: tls.TlsSocket(sock, trust, name)
