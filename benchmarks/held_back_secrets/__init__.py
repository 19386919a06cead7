"""Secrets and look-alikes that were written down before they were measured, set by set (docs/publishing.md)."""

from . import eighth, fifth, first, fourth, ninth, second, seventh, sixth, third

SETS = {
    "first": first,
    "second": second,
    "third": third,
    "fourth": fourth,
    "fifth": fifth,
    "sixth": sixth,
    "seventh": seventh,
    "eighth": eighth,
    "ninth": ninth,
}
