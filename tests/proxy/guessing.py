"""Somebody who guesses through nginx, many times at once: sessions with form keys, and counts."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlencode

from prometheus_client.mmap_dict import MmapedDict

from tests.institution.proxied import Proxied
from tests.institution.visitors import csrf_of
from tests.proxy.asking import Reply, ask

FORM = ("Content-Type", "application/x-www-form-urlencoded")


class Session:
    """A cookie and the form key that belongs to it, on the public site."""

    def __init__(self, here: Proxied, page: str = "/login") -> None:
        self._here = here
        self._cookie = ""
        self._key = csrf_of(self.get(page).text)

    def get(self, path: str) -> Reply:
        """A page."""
        return self._keep(ask(self._here, "public", path, headers=self._headers()))

    def post(self, path: str, source: str = "", **form: str) -> Reply:
        """A form with its key; ``source``: the address that it comes from, else a new one."""
        fields = {name.replace("_", "-"): value for name, value in form.items()}
        body = urlencode({"csrf_token": self._key, **fields}).encode()
        headers = (*self._headers(), FORM, ("Referer", self._here.public_url + path))
        return self._keep(
            ask(self._here, "public", path, method="POST", headers=headers, body=body,
                source=source)
        )  # fmt: skip

    def log_in(self, part: str) -> None:
        """With the right password: a new cookie, and a form key of its session."""
        person = self._here.people[part]
        reply = self.post("/login", pid=person.pid, password=person.password)
        assert reply.status == 303, reply
        self._key = csrf_of(self.get("/").text)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("Cookie", self._cookie),) if self._cookie else ()

    def _keep(self, reply: Reply) -> Reply:
        for value in reply.all("set-cookie"):
            self._cookie = value.partition(";")[0]
        return reply


def at_once(calls: Sequence[Callable[[], Reply]]) -> list[Reply]:
    """Send all at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Reply]) -> Reply:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def events(here: Proxied, name: str) -> int:
    """How often the log says this: each verdict on a secret has its entry."""
    entry = f'%"event":"{name}"%'
    query = "select count(*) from audit_entries where cast(raw as text) like ?"
    with closing(sqlite3.connect(here.root / "service.sqlite")) as db:
        count: int = db.execute(query, (entry,)).fetchone()[0]
    return count


def spent(here: Proxied, key: str) -> int:
    """What a counter of tries holds."""
    query = "select coalesce(sum(spent), 0) from tries where key = ?"
    with closing(sqlite3.connect(here.root / "service.sqlite")) as db:
        count: int = db.execute(query, (key,)).fetchone()[0]
    return count


def answered(here: Proxied, route: str) -> Counter[str]:
    """How many requests of a route each process has answered, by what it measures itself."""
    found: Counter[str] = Counter()
    for file in (here.root / "run" / "metrics").glob("counter_*.db"):
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(file)):
            _, name, labels, _ = json.loads(key)
            if name == "reset_requests_total" and labels["route"] == route:
                found[file.stem] += int(value)
    return found
