"""Mixing: a recipe over dataset directories becomes a virtual dataset in training order, and a lock."""
