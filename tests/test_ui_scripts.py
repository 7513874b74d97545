"""The player's modules: joined in Python, refused where they go beyond what the joiner reads, and typed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields

import pytest

from fastllm import trace
from fastllm.analysis.rejections import Rejection
from fastllm.ui.watch import player, scripts

MAIN = 'import { a } from "./a.js";\n'


def joined(main: str = MAIN, given=(), **files: str) -> dict[str, str]:
    """The codes of main.js and of files that are named without their ending."""
    return scripts.bodies({"main.js": main, **{f"{n}.js": text for n, text in files.items()}}, given=given)


def test_files_come_in_the_order_in_which_they_need_each_other():
    """Depth first, in the order of the imports; each once, main.js last."""
    order = list(
        joined(
            'import { b } from "./b.js";\nimport { a } from "./a.js";\nb(a);',
            a='import { c } from "./c.js";\nexport const a = c;',
            b='import { a } from "./a.js";\nimport { c } from "./c.js";\nexport const b = () => a + c;',
            c="export const c = 1;",
        )
    )
    assert order == ["c.js", "a.js", "b.js", "main.js"]


def test_the_words_of_modules_and_comments_go_and_the_code_stays():
    """Imports over several lines, every form of export, comments of a line and of several; a comment in code stays."""
    found = joined(
        'import {\n  a, B,\n  c, d,\n} from "./a.js";\n// said\nconst x = /** @type {any} */ (a); // y\nB(c, d, x);\n',
        a="// @ts-check\n/** Says\n * a lot. */\nexport function a() {\n  /* and */ return 1;\n}\n\n"
        "export class B {}\nexport async function c() {}\n"
        'export const d = "export function // no */";\nlet own = 1;\n/* before */ own += 1;\n',
    )
    assert found["a.js"] == (
        "function a() {\n return 1;\n}\nclass B {}\nasync function c() {}\n"
        'const d = "export function // no */";\nlet own = 1;\n own += 1;'
    )
    assert found["main.js"] == "const x = /** @type {any} */ (a); // y\nB(c, d, x);"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"main": 'import { a } from "./b.js";'}, ["main.js", "b.js", "not there"]),
        ({"a": "const a = 1;"}, ["main.js", "a.js", " a ", "does not export"]),
        ({"a": 'import { b } from "./b.js";\nexport const a = b;', "b": MAIN + "export const b = a;"},
         ["a.js → b.js → a.js"]),
        ({"a": "export const a = 1;", "b": "export const b = 1;"}, ["b.js", "no file"]),
        ({"main": MAIN + "const same = a;", "a": "export const a = 1;\nfunction same() {}"},
         ["a.js and main.js", "same"]),
        ({"main": MAIN + "const a = 2;", "a": "export const a = 1;"}, ["main.js", "declares a "]),
        ({"main": MAIN + MAIN, "a": "export const a = 1;"}, ["main.js", "imports a twice"]),
        ({"a": "export const a = 1;\nfunction a() {}"}, ["a.js", "declares a twice"]),
        ({"a": "export const a = 1;\nconst CONFIG = {};"}, ["a.js", "CONFIG", "given"]),
        ({"main": 'import { a as b } from "./a.js";', "a": "export const a = 1;"}, ["main.js", '"a as b"', "a.js"]),
        ({"main": 'import a from "./a.js";', "a": "export default 1;"}, ["form", "main.js", "import a from"]),
        ({"main": 'import "./a.js";', "a": ""}, ["main.js", "form"]),
        ({"main": 'const a = await import("./a.js");', "a": ""}, ["main.js", "form"]),
        ({"main": 'import * as a from "./a.js";', "a": ""}, ["main.js", "form"]),
        ({"a": "export let a = 1;"}, ["a.js", "form", "export let a"]),
        ({"a": "export { a };\nconst a = 1;"}, ["a.js", "form"]),
        ({"a": 'export * from "./b.js";'}, ["a.js", "form"]),
        ({"a": "export const [a] = [1];"}, ["a.js", "several names"]),
        ({"a": "export const a = `\nimport { b } from './b.js';`;"}, ["a.js, line 1", "template"]),
        ({"a": "export const a = 1; /* more\nconst b = 2; */"}, ["a.js, line 1", "comment"]),
    ],
)  # fmt: skip
def test_what_is_no_script_is_refused_with_the_files_in_question(files, names):
    """Each in one sentence that names both files where there are two."""
    main = files.get("main", MAIN)
    with pytest.raises(scripts.ScriptError) as refused:
        joined(main, given=("CONFIG",), **{n: text for n, text in files.items() if n != "main"})
    for name in names:
        assert name in str(refused.value)


def test_there_is_a_file_to_begin_with():
    """A folder without main.js is no player."""
    with pytest.raises(scripts.ScriptError, match=r"no main\.js"):
        scripts.bodies({"a.js": ""})


def test_the_player_is_one_strict_script_of_all_its_modules():
    """No word of a module is left, no comment is sent, and every file of the folder is in it."""
    source = player.script()
    assert source.startswith('"use strict";')
    assert not re.search(r"^\s*(import|export|//|/\*)", source, flags=re.MULTILINE)
    names = list(scripts.bodies(player.sources(), given=player.GIVEN))
    assert names[-1] == "main.js"
    assert set(names) == {f.name for f in player.FOLDER.glob("*.js")}


DECLARATIONS = (player.FOLDER / "globals.d.ts").read_text(encoding="utf-8")
FIELDS = json.loads((player.FOLDER / "fields.json").read_text(encoding="utf-8"))


def interface(name: str) -> set[str]:
    """The fields that globals.d.ts gives to `name`, without those of objects inside."""
    (body,) = re.findall(rf"^interface {name} \{{(.*?)\}}$", DECLARATIONS, flags=re.MULTILINE | re.DOTALL)
    flat = re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]|/\*\*.*?\*/", "", body, flags=re.DOTALL)
    return set(re.findall(r"(\w+)\??:", flat))


def named(kind: type) -> set[str]:
    return {f.name for f in fields(kind)}


def test_every_module_asks_for_its_types_to_be_checked():
    """Editors and tsc look into a file that begins so."""
    assert [name for name, text in player.sources().items() if not text.startswith("// @ts-check\n")] == []


def test_the_types_of_the_modules_are_those_of_python():
    """What a message carries, in globals.d.ts, field by field: the trace's, those of fields.json, the configuration."""
    plain = (
        trace.Candidate,
        trace.DraftToken,
        trace.Tempered,
        trace.SideToken,
        trace.Emitted,
        trace.Article,
        Rejection,
    )
    for kind in plain:
        assert interface(kind.__name__) == named(kind), kind
    assert interface("Step") == named(trace.Step) | set(FIELDS["step"])
    assert interface("Head") == named(trace.Trace) - {"steps"} | set(FIELDS["head"])
    assert interface("Message") == set(FIELDS["message"])
    assert interface("Rejection") == set(FIELDS["rejection"])
    assert interface("Fields") == set(FIELDS)
    (config,) = re.findall(r"^const CONFIG = (.*);$", player.script(), flags=re.MULTILINE)
    assert interface("Config") == set(json.loads(config))


def test_what_is_declared_is_given_to_the_script():
    """Nothing is used that is not there; `upload` is given and not used."""
    declared = re.findall(r"^declare const (\w+):", DECLARATIONS, flags=re.MULTILINE)
    assert set(declared) == set(player.GIVEN) - {"upload"}


def test_the_types_of_the_modules_hold():
    """tsc, in the strictness of jsconfig.json, has no finding."""
    if not shutil.which("tsc"):
        pytest.skip("there is no tsc here: npm install --global typescript, or `make types`")
    done = subprocess.run(["tsc", "-p", str(player.FOLDER / "jsconfig.json")], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0
