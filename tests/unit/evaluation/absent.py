"""Hides installed packages from the import system, as if they were not installed.

`sys.modules[name] = None` is not enough: libraries such as scipy take an entry there for an imported package.
"""

import sys


class _Without:
    def __init__(self, finder, names):
        self.finder, self.names = finder, names

    def find_spec(self, name, *arguments):
        hidden = name.partition(".")[0] in self.names
        return None if hidden else self.finder.find_spec(name, *arguments)

    def __getattr__(self, attribute):
        return getattr(self.finder, attribute)


def hide(*names):
    sys.meta_path[:] = [_Without(finder, names) for finder in sys.meta_path]
