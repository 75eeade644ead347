"""Functions a user could have written; the tests run them by ``hooks:name`` from this folder."""

import os
import time


def digits(example):
    return {"score": int(example.sample.id.rpartition("/")[2])}


def slow(example):
    time.sleep(0.02)
    return digits(example)


def counted(example):
    with open(os.environ["COUNTED"], "a") as file:
        file.write(f"{example.sample.id}\n")
    return digits(example)


def fussy(example):
    number = int(example.sample.id.rpartition("/")[2])
    if number in (0, 7):
        raise KeyError("no such thing")
    values = {8: float("nan"), 9: "nine", 10: None}
    return {"score": values.get(number, number / 2), "kind": "even" if number % 2 == 0 else "odd"}


def changing(example):
    return {"a": 1} if example.sample.id.endswith("/0") else {"b": 1}


def nothing(example):
    return None


def listing(example):
    return {"score": [1, 2]}
