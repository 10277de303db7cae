"""Which classes are learnt, in which order, and which of the data set's labels each one merges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from nas.data.listing import clean, normal_form
from search_spaces.errors import InputError

_HEALTHY = ("normal", "negative", "no_finding", "healthy")


def class_names(labels: Sequence[str]) -> dict[str, str]:
    """Normal form → name shown: the data's own spelling where there is one, else the normal form; healthy first, then by alphabet."""
    spellings: dict[str, set[str]] = {}
    for label in filter(None, map(clean, set(labels))):
        spellings.setdefault(normal_form(label), set()).add(label)
    order = sorted(spellings, key=lambda form: (form not in _HEALTHY, form))
    return {form: next(iter(spellings[form])) if len(spellings[form]) == 1 else form for form in order}


def select(labels: Sequence[str], classes: str | Sequence[str] | None) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names in logit order, and the class index of every label (in normal form) that is kept.

    Args:
        labels: every image's label.
        classes: ``"a,b,c"`` or a sequence of words (labels may hold commas there), each a label or ``name=label+label``; None keeps
            all labels. Where the data has none of the merged labels, but their ``name``, it was merged before.

    Raises:
        InputError: a word that is no label of the data, a label used twice, an empty list.
    """
    present = class_names(labels)
    if classes is None:
        return tuple(present.values()), {form: i for i, form in enumerate(present)}
    words = classes.split(",") if isinstance(classes, str) else classes
    names: list[str] = []
    index: dict[str, int] = {}
    for word in filter(None, map(clean, words)):
        name, _, members = (word, "", "") if normal_form(word) in present else map(str.strip, word.partition("="))
        if not name or name in names:
            raise InputError(f"class {word!r}: every class needs a name of its own; write NAME or NAME=LABEL+LABEL")
        for member in _members(name, members, word, present, Counter(map(normal_form, labels))):
            if member in index:
                raise InputError(f"label {present[member]!r} is asked for in two classes; name it once")
            index[member] = len(names)
        names.append(name)
    if not names:
        raise InputError("no class is named; write --classes a,b,c")
    return tuple(names), index


def _members(name: str, members: str, word: str, present: Mapping[str, str], counts: Counter[str]) -> list[str]:
    """The labels (normal form) behind one word; a label that is there under this very name wins over ``+`` as a separator."""
    own, whole = normal_form(name), normal_form(members)
    forms = [own] if not members else [whole] if whole in present else [normal_form(part) for part in members.split("+")]
    if own in present and not any(form in present for form in forms):
        return [own]
    for form in forms:
        if form not in present:
            known = ", ".join(f"{name} ({counts[key]})" for key, name in list(present.items())[:20]) or "none"
            raise InputError(f"class {word!r}: the data has no label {form!r}; its labels: {known}")
    return forms


def spelled(names: Sequence[str], index: Mapping[str, int]) -> tuple[str, ...]:
    """The words that select these classes again: ``name``, or ``name=label+label`` where the name alone would not do."""
    members = [[form for form, c in index.items() if c == i] for i in range(len(names))]
    return tuple(
        name if forms == [normal_form(name)] else f"{name}={'+'.join(forms)}"
        for name, forms in zip(names, members, strict=True)
    )
