"""JavaScript modules as one script: a component of Gradio's, and a page in one file, take a text and no folder.

A small part of the language is read, and what goes beyond it is refused, so that the files mean to a browser's or
node's own loader what they mean here:

- ``import { a, b } from "./other.js";`` and ``export`` before ``function``, ``async function``, ``class`` or ``const``,
  each at the beginning of a line. Nothing is renamed, there is no default, nothing is imported for its effects alone.
- What stands at the top of a file begins its line, everything else is indented; a declaration there has one name.
- A template ends in the line in which it begins, and a comment of several lines begins one: comments are left out.

The files come in the order in which they need each other, as the language itself evaluates them. They share one scope:
a name that two of them declare is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_NAME = r"[A-Za-z_$][\w$]*"
_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"\./([\w-]+\.js)";[ \t]*$', re.MULTILINE)
_DECLARED = re.compile(
    rf"^(export +)?(?:(?:async +)?function\b *\*?|class\b|const\b|let\b|var\b) *({_NAME})?", re.MULTILINE
)
_EXPORTED = re.compile(r"^export +(?=(?:async +)?function\b|class\b|const\b)", re.MULTILINE)
_BEYOND = re.compile(r"^(?:import|export)\b.*|\bimport *[.(].*", re.MULTILINE)


class ScriptError(ValueError):
    """The modules make no script; the message is a sentence that names the files."""


@dataclass(frozen=True)
class Module:
    """One file, read.

    Attributes:
        imports: file to the names that are taken from it, in the order of the import statements.
        exports: the names that it gives.
        declared: the names at its top, exported ones included.
        body: its code, without comments, empty lines and the words of modules.
    """

    imports: Mapping[str, tuple[str, ...]]
    exports: frozenset[str]
    declared: frozenset[str]
    body: str


def _uncommented(name: str, source: str) -> str:
    """The code of `source` without the comments that begin a line, and without empty lines."""
    lines: list[str] = []
    inside = False
    for number, line in enumerate(source.splitlines(), 1):
        code = line
        if not inside and code.lstrip().startswith("//"):
            continue
        inside = inside or code.lstrip().startswith("/*")
        if inside:
            _, end, code = code.partition("*/")
            if not end:
                continue
            inside = False
        if not code.strip():
            continue
        if code.rfind("/*") > code.rfind("*/"):
            raise ScriptError(
                f"{name}, line {number}: a comment of several lines begins behind code. Give it its own line."
            )
        if code.count("`") % 2:
            raise ScriptError(f"{name}, line {number}: a template does not end in its line. Join its parts with +.")
        lines.append(code)
    return "\n".join(lines)


def read(name: str, source: str) -> Module:
    """The module in the file `name`. Raises ScriptError where it goes beyond what is read here."""
    code = _uncommented(name, source)
    imports: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for listed, file in _IMPORT.findall(code):
        names = [n.strip() for n in listed.split(",") if n.strip()]
        for n in names:
            if not re.fullmatch(_NAME, n):
                raise ScriptError(f'{name} imports "{n}" from {file}: only plain names are imported.')
            if n in taken:
                raise ScriptError(f"{name} imports {n} twice, the second time from {file}.")
            taken.add(n)
        imports[file] = (*imports.get(file, ()), *names)
    code = _IMPORT.sub("", code)
    declared: set[str] = set()
    exports: set[str] = set()
    for found in _DECLARED.finditer(code):
        exported, n = found.groups()
        line = code[found.start() :].split("\n", 1)[0]
        if n is None:
            raise ScriptError(f"{name} declares several names at once at its top: {line}")
        if n in declared or n in taken:
            raise ScriptError(f"{name} declares {n} twice at its top, or declares what it imports.")
        declared.add(n)
        if exported:
            exports.add(n)
    code = _EXPORTED.sub("", code)
    if beyond := _BEYOND.search(code):
        raise ScriptError(f"{name} has an import or export of a form that is not read here: {beyond[0]}")
    body = "\n".join(line for line in code.split("\n") if line.strip())
    return Module(imports, frozenset(exports), frozenset(declared), body)


def order(modules: Mapping[str, Module], entry: str) -> tuple[str, ...]:
    """The files that `entry` needs, itself last, each after those that it imports. Raises ScriptError for an import of
    what is not there or not exported, and for files that import each other."""
    done: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ScriptError(f"These files import each other: {' → '.join((*path[path.index(name) :], name))}.")
        if name in done:
            return
        for file, names in modules[name].imports.items():
            if file not in modules:
                raise ScriptError(f"{name} imports from {file}, which is not there.")
            for missing in (n for n in names if n not in modules[file].exports):
                raise ScriptError(f"{name} imports {missing} from {file}, which does not export it.")
            visit(file, (*path, name))
        done[name] = None

    if entry not in modules:
        raise ScriptError(f"There is no {entry} to begin with.")
    visit(entry, ())
    return tuple(done)


def bodies(sources: Mapping[str, str], entry: str = "main.js", given: Collection[str] = ()) -> dict[str, str]:
    """File to code, in an order in which the codes stand one after the other in one scope.

    `sources` maps file to text, `entry` is the file that starts the rest, `given` holds names that the scope has
    already. Raises ScriptError as :func:`read` and :func:`order` do, for a file that `entry` does not lead to, and for
    a name that two files declare, or that is given.
    """
    modules = {name: read(name, source) for name, source in sources.items()}
    names = order(modules, entry)
    for lost in sorted(set(modules) - set(names)):
        raise ScriptError(f"{lost} is imported by no file that {entry} leads to.")
    owner: dict[str, str] = {}
    for name in names:
        for n in sorted(modules[name].declared):
            if n in given:
                raise ScriptError(f"{name} declares {n}, which is given to every script.")
            if n in owner:
                raise ScriptError(f"{owner[n]} and {name} both declare {n}. Rename one: they share one scope.")
            owner[n] = name
    return {name: modules[name].body for name in names}
