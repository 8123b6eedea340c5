"""Guesses at the same moment, through nginx, over all worker processes of a site.

Peer failures 1 and 8: what is compared never exceeds the limit, and a right code is good once,
whichever process a form reaches. Whoever guesses reads a page: what was wrong, that there is
nothing left, or when to come again.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial

import pytest

from reset.adapters.hasher_argon2 import Slots
from reset.core.policy import Policy
from reset.site_process import WORKERS
from tests.institution.proxied import Proxied
from tests.institution.site import code_in
from tests.proxy.asking import Reply, new_source
from tests.proxy.guessing import Session, answered, at_once, events, spent
from tests.story.story import Story, register, right_answers

MANY = 48
CROWDS = 20  # at most
# to where the request stands, or to the login: a right code ends the session's old cookie
ON = ("/reset/", "/login?next=")
POLICY = Policy()
ROUTE_OF_CODES = "/reset/<random:request_id>/code"
ROUTE_OF_ANSWERS = "/reset/<random:request_id>/questions"


def check_pages(replies: Iterable[Reply]) -> Counter[int]:
    """Each reply is a page of the service or leads to one; how often each status came."""
    seen: Counter[int] = Counter()
    for reply in replies:
        seen[reply.status] += 1
        assert reply.status < 500 or reply.status == 503, reply
        assert reply.header("cache-control") == "no-store", reply
        if reply.status in (429, 503):
            assert int(reply.header("retry-after")) > 0, reply
        if reply.status == 303:
            assert reply.header("location").startswith(ON), reply
        else:
            assert reply.text.rstrip().endswith("</html>"), reply
    return seen


def over_both(
    here: Proxied, route: str, crowd: Callable[[], Sequence[Callable[[], Reply]]]
) -> list[Reply]:
    """The replies to crowds of forms, each sent at once, up to one that both workers answered.

    The kernel may give a whole crowd to one worker. One more weakens nothing: what is spent is
    spent for it, too, and a worker that counted by itself would compare more in it.
    """
    replies: list[Reply] = []
    for _ in range(CROWDS):
        before = answered(here, route)
        replies += at_once(crowd())
        if len(answered(here, route) - before) == WORKERS:
            return replies
    raise AssertionError(f"one worker answered each of {CROWDS} crowds alone")


# --- passwords -------------------------------------------------------------------------
def test_wrong_passwords(here: Proxied) -> None:
    """One name from one address: the free attempts, the one after them, and one after each wait."""
    pid = here.people["supervisor"].pid
    sessions = [Session(here) for _ in range(6)]
    before, began = events(here, "login-refused"), time.monotonic()

    def crowd() -> list[Callable[[], Reply]]:
        source = new_source()  # for each: nginx lets no second crowd of an address through
        return [
            partial(sessions[n % 6].post, "/login", source, pid=pid, password=f"wrong {n}")
            for n in range(MANY)
        ]

    replies = over_both(here, "/login", crowd)
    took = time.monotonic() - began
    waits_over = sum(1 for n in range(1, 9) if 2 ** (n + 1) - 2 <= took)
    seen = check_pages(replies)
    assert set(seen) <= {401, 429, 503}, seen
    compared = events(here, "login-refused") - before
    assert compared == seen[401]
    addresses = len(replies) // MANY
    assert 0 < compared <= addresses * (POLICY.login_slow_after + 1 + waits_over)
    assert seen[429] > 0


def test_no_process_hashes_while_the_node_has_no_slot(here: Proxied) -> None:
    """The slots are the node's: whoever holds them all, here this test, stops both workers."""
    slots, sources = Slots(here.root / "run" / "hashing"), list[str]()
    sessions = [Session(here) for _ in range(6)]
    before = events(here, "login-refused")

    def crowd() -> list[Callable[[], Reply]]:
        sources.append(new_source())
        return [
            partial(sessions[n % 6].post, "/login", sources[-1], pid=f"nobody{n}", password="wrong")
            for n in range(24)
        ]

    with ExitStack() as held:
        for _ in range(os.cpu_count() or 1):
            held.enter_context(slots.slot())
        replies = over_both(here, "/login", crowd)
    assert check_pages(replies) == {503: len(replies)}
    assert all("Your step could not be taken at once" in reply.text for reply in replies)
    assert events(here, "login-refused") == before, "nobody looked at these passwords"
    free = POLICY.login_slow_after + 1
    again = partial(sessions[0].post, "/login", sources[-1], pid="nobody0", password="wrong")
    assert check_pages(again() for _ in range(free)) == {401: free}, "nor were they counted"


# --- a request -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def story(here: Proxied) -> Story:
    """A holder with questions and a recovery address."""
    told = Story(here)
    register(told)
    return told


def opened(story: Story, session: Session) -> None:
    """A request of the holder, noted in the story."""
    serial = story.institution.tokens["holder"].serial
    reply = session.post("/reset", token=serial, reason="Ten wrong PINs")
    found = re.search(r"/reset/([0-9a-f]{32})", reply.header("location"))
    assert found, reply
    story.request = found[1]


def logged_in(here: Proxied, count: int) -> list[Session]:
    """As many browsers of the holder, or of whoever knows the password."""
    sessions = [Session(here) for _ in range(count)]
    for session in sessions:
        session.log_in("holder")
    return sessions


def with_code(here: Proxied, story: Story, sessions: list[Session]) -> str:
    """Open a request, answer in the first session, have a code mailed: its digits."""
    opened(story, sessions[0])
    page = f"{story.page}/questions"
    answers = right_answers(story, sessions[0].get(page).text)
    assert sessions[0].post(page, **answers).status == 303
    subject, address = "Your code for resetting", here.people["holder"].recovery
    known = here.count(address, subject)
    assert sessions[1].post(f"{story.page}/code/send").status == 303
    return code_in(here.wait_for_mail(address, subject, known=known))


def test_the_right_code_many_times(here: Proxied, story: Story) -> None:
    """One of them counts, and the approver is asked once."""
    sessions = logged_in(here, 4)
    code = with_code(here, story, sessions)
    right, asked = events(here, "code-right"), events(here, "approver-asked")
    forms = [partial(one.post, f"{story.page}/code", code=code) for one in sessions[1:] * 8]
    seen = check_pages(over_both(here, ROUTE_OF_CODES, lambda: forms))
    assert set(seen) <= {303, 403, 410, 503}, seen
    assert events(here, "code-right") - right == events(here, "approver-asked") - asked == 1
    assert sessions[0].post(f"{story.page}/cancel").status == 303


def test_wrong_codes(here: Proxied, story: Story) -> None:
    """Five are compared, then the request is over, for the right code as well."""
    sessions = logged_in(here, 4)
    code = with_code(here, story, sessions)
    before = events(here, "code-wrong")
    guesses = [f"{(int(code) + n) % 10**8:08d}" for n in range(1, MANY + 1)]
    forms = [
        partial(sessions[1 + n % 3].post, f"{story.page}/code", code=guess)
        for n, guess in enumerate(guesses)
    ]
    replies = over_both(here, ROUTE_OF_CODES, lambda: forms)
    seen = check_pages(replies)
    assert set(seen) <= {303, 403, 410, 503}, seen
    compared = events(here, "code-wrong") - before
    assert POLICY.code_tries - seen[503] <= compared <= POLICY.code_tries
    assert seen[403] < POLICY.code_tries
    assert spent(here, f"code:reset:{story.request}") == POLICY.code_tries
    right = events(here, "code-right")
    check_pages([sessions[1].post(f"{story.page}/code", code=code)])
    assert events(here, "code-right") == right


def test_wrong_answers(here: Proxied, story: Story) -> None:
    """Three rounds are compared, then self-service is blocked. The last test: it blocks."""
    sessions = logged_in(here, 4)
    opened(story, sessions[0])
    page = f"{story.page}/questions"
    right = right_answers(story, sessions[0].get(page).text)
    before = events(here, "answers-wrong")
    forms = [
        partial(sessions[n % 4].post, page, **{**right, "answer_3": f"another {n}"})
        for n in range(MANY)
    ]
    replies = over_both(here, ROUTE_OF_ANSWERS, lambda: forms)
    seen = check_pages(replies)
    assert set(seen) <= {303, 403, 503}, seen
    compared = events(here, "answers-wrong") - before
    assert POLICY.failed_rounds - seen[503] <= compared <= POLICY.failed_rounds
    assert spent(here, f"rounds:{here.people['holder'].uid}") == POLICY.failed_rounds
    known = events(here, "answers-right")
    check_pages([sessions[0].post(page, **right)])
    assert events(here, "answers-right") == known
