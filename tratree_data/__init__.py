"""Trajectory trees from agents' rollouts: build them, query them in SQL, publish them, train on them.

Every verb of the command line is a function here. `__init__.pyi` lists them; each is imported when it is first used.
"""

import sys

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

if "IPython" in sys.modules:
    from tratree_data.viewing import notebooks

    if notebooks.is_notebook():
        notebooks.display_tables()
    del notebooks
