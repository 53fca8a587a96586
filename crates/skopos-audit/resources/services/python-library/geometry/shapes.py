import logging

log = logging.getLogger(__name__)


def area(a, b):
    print(a, b)
    return a * b
