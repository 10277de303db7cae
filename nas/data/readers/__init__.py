"""Readers: one file per layout that people have on disk, each registered under the name used in ``READER:PATH``.

A reader is a function from a path to a ``Listing`` (rows of paths and text; nothing is decoded), registered with
``@register_reader(name, title, recognise)``. ``recognise`` says in a few words what it saw when a bare path is of its layout, else "".
Installed packages add theirs through the entry point group ``pepx_nas.readers``.
"""

from __future__ import annotations

from nas.data.readers.base import Reader, get_reader, reader_names, readers, register_reader

__all__ = ["Reader", "get_reader", "reader_names", "readers", "register_reader"]
