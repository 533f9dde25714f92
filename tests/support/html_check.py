"""Whether a page is well-formed, self-contained and labelled, by Python's parser."""

import re
from html.parser import HTMLParser

_VOID = {"br", "col", "hr", "img", "input", "link", "meta"}
_LINKS = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.problems: list[str] = []
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append((tag, named))
        if len(named) != len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        if tag not in _VOID:
            self.open.append(tag)
        if "id" in named:
            if named["id"] in self.ids:
                self.problems.append(f"id {named['id']!r} twice")
            self.ids.add(named["id"])
        for name in _LINKS:
            self._check_link(tag, name, named.get(name))
        if tag == "img" and not named.get("alt"):
            self.problems.append("an image without alternative text")
        if any(name.startswith("on") for name in named):
            self.problems.append(f"<{tag}> has an inline handler")

    def _check_link(self, tag, name, value):
        if value is None or value.startswith("data:"):
            return
        if name == "href" and value.startswith("#"):
            self.targets.append(value[1:])
        else:
            self.problems.append(f"<{tag} {name}={value!r}> leads out of the file")

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> does not close {self.open[-1:]}")
        else:
            self.open.pop()


def check_html(text: str) -> list[str]:
    """Lists the faults of a page."""
    checker = _Checker()
    checker.feed(text)
    checker.close()
    problems = checker.problems
    if checker.open:
        problems.append(f"never closed: {checker.open}")
    problems += [f"#{t} is nowhere" for t in checker.targets if t not in checker.ids]
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    if re.search(r"@import|url\(\s*['\"]?(?!data:)", style):
        problems.append("the style sheet loads something")
    names = [tag for tag, _ in checker.tags]
    for needed in ("title", "main", "h1"):
        if names.count(needed) < 1:
            problems.append(f"no <{needed}>")
    tables, captions = names.count("table"), names.count("caption")
    if tables != captions:
        problems.append(f"{tables} tables with {captions} captions")
    if any(tag == "th" and not named.get("scope") for tag, named in checker.tags):
        problems.append("a table heading without scope")
    if not any(tag == "html" and named.get("lang") for tag, named in checker.tags):
        problems.append("no language")
    return problems
