"""Objects over a socket arrive as they were sent, whatever their size, or not at all."""

import pickle
import socket
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sphinx_data.ocr.channel import Channel
from sphinx_data.ocr.page import Page


def sent(things: list[Any]) -> list[Any]:
    near, far = socket.socketpair()
    here, there = Channel(near), Channel(far)
    sender = threading.Thread(target=lambda: [here.send(thing) for thing in things])
    sender.start()
    try:
        return [there.receive() for _ in things]
    finally:
        sender.join()
        here.close()
        there.close()


def page(media: bytes) -> Page:
    return Page(0, 1, [], True, [], media, "jpg", (2, 3), {"route": "text-layer"})


@given(st.lists(st.one_of(st.none(), st.text(), st.binary(), st.tuples(st.integers(), st.binary().map(page)))))
def test_what_arrives_is_what_was_sent(things: list[Any]) -> None:
    assert sent(things) == things


def test_pictures_larger_than_the_buffer_of_the_socket_arrive() -> None:
    things = [page(bytes(range(256)) * size) for size in (1, 40_000, 0, 100_000)]
    assert sent(things) == things


def test_received_counts_what_came() -> None:
    near, far = socket.socketpair()
    here, there = Channel(near), Channel(far)
    here.send(page(b"x" * 5000))
    there.receive()
    assert 5000 < there.received < 6000
    here.close()
    there.close()


@pytest.mark.parametrize("left", [0, 4, 20, 60])
def test_an_end_that_goes_away_inside_an_object_is_an_error(left: int) -> None:
    near, far = socket.socketpair()
    whole, copy = socket.socketpair()
    Channel(whole).send(pickle.dumps("a page") * 20)
    near.sendall(copy.recv(1 << 16)[:left])
    near.close()
    with pytest.raises(EOFError):
        Channel(far).receive()
    for end in (far, whole, copy):
        end.close()
