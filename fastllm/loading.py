"""The one door through which models are loaded, and what is loaded once for the whole process.

transformers patches the construction of modules for the whole process while it loads a model, so a second thread that
builds any module meanwhile gets one without memory. Every load in the process takes this lock.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

LOADING = threading.RLock()

_P = ParamSpec("_P")
_T = TypeVar("_T")


class lazy(Generic[_T]):
    """A property computed at first use and kept, without any lock.

    Python 3.11's functools.cached_property computes under a lock of its own, one for all instances: a thread that holds
    it and waits for LOADING, beside one that holds LOADING and waits for it, wait for ever. Here two threads may both
    compute the value; both then get the one that was kept first.
    """

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | _T:
        if instance is None:
            return self
        if self.name not in instance.__dict__:
            instance.__dict__.setdefault(self.name, self.compute(instance))
        return instance.__dict__[self.name]


def loaded_once(maxsize: int) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """A cache for functions that load: whoever asks for what is being loaded waits for it, and gets the same object.

    functools.lru_cache would load it a second time. A call that raises is not kept, so the next one tries again.
    Arguments are positional and hashable; the longest unused of more than `maxsize` results goes first.
    """

    def decorate(load: Callable[_P, _T]) -> Callable[_P, _T]:
        kept: OrderedDict[Hashable, _T] = OrderedDict()
        busy = threading.Lock()  # held for the dictionary only, so that what is there never waits for a load

        def find(key: Hashable) -> list[_T]:
            with busy:
                if key not in kept:
                    return []
                kept.move_to_end(key)
                return [kept[key]]

        @functools.wraps(load)
        def once(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            if kwargs:
                raise TypeError("what is loaded once is named by position")
            if found := find(args):
                return found[0]
            with LOADING:
                if found := find(args):  # another thread was faster
                    return found[0]
                made = load(*args, **kwargs)
                with busy:
                    kept[args] = made
                    while len(kept) > maxsize:
                        kept.popitem(last=False)
                return made

        return once

    return decorate
