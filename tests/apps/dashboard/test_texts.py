"""Japanese is complete, and what is served is what the catalogue says."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

LOCALE = Path(settings.LOCALE_PATHS[0])
ROOT = LOCALE.parent
CATALOGUE = LOCALE / "ja/LC_MESSAGES/django.po"
ENTRY = re.compile(
    r'^msgid (?P<id>(?:".*"\n)+)(?:^msgid_plural (?:".*"\n)+)?(?P<texts>(?:^msgstr.*\n(?:^".*"\n)*)+)', re.M
)
IN_TEMPLATES = re.compile(r"""{%\s*trans\s+(?:"([^"]*)"|'([^']*)')""")


def joined(lines: str) -> str:
    return ast.literal_eval('"' + "".join(re.findall(r'"(.*)"', lines)) + '"')


def entries() -> dict[str, str]:
    """Text → translation (the only plural form of Japanese)."""
    found = {joined(e["id"]): joined(e["texts"]) for e in ENTRY.finditer(CATALOGUE.read_text() + "\n")}
    found.pop("")
    return found


def texts_of_code() -> Iterator[str]:
    for path in sorted(ROOT.glob("apps/**/web/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            text = node.args[0]
            if node.func.id in {"_", "gettext", "ngettext"} and isinstance(text, ast.Constant):
                yield str(text.value)


def texts_of_templates() -> Iterator[str]:
    for path in sorted(ROOT.glob("templates/**/*.html")):
        for double, single in IN_TEMPLATES.findall(path.read_text()):
            yield double or single


def test_every_text_is_translated() -> None:
    found = entries()
    assert len(found) > 300
    assert [text for text, translated in found.items() if not translated] == []
    assert "#, fuzzy" not in CATALOGUE.read_text()


def test_every_text_of_the_pages_is_in_the_catalogue() -> None:
    wanted = set(texts_of_code()) | set(texts_of_templates())
    assert sorted(wanted - set(entries())) == []


def test_translations_keep_what_is_filled_in() -> None:
    names = re.compile(r"%\(\w+\)s|%[ds]")
    assert [t for t, j in entries().items() if sorted(set(names.findall(t))) != sorted(set(names.findall(j)))] == []


def test_the_compiled_catalogue_is_that_of_the_texts() -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert [t for t, j in entries().items() if compiled.gettext(t) != j and compiled.ngettext(t, t, 1) != j] == []
