"""Pages as tests read them."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A well-formed page: its tags with attributes, its text, its styles."""

    def __init__(self, text):
        super().__init__()
        self.source = text
        self.open, self.tags, self.texts, self.styles = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        assert text.count("<!doctype html>") == 1

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        assert all(name.replace("-", "").isalnum() for name in names), names
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        assert self.open.pop() == tag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        (self.styles if self.open[-1:] == ["style"] else self.texts).append(data)

    @property
    def text(self):
        """What is read, white space made single."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        """Attributes of each element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def urls(self):
        """Everything that the page could load or link to."""
        loading = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")
        attributes = (
            value
            for _, each in self.tags
            for name, value in each.items()
            if name in loading
        )
        styles = [*self.styles, *(each.get("style", "") for _, each in self.tags)]
        return [
            *attributes,
            *(word for s in styles for word in ("url(", "@import") if word in s),
        ]

    def check_harmless(self, *kinds):
        """Fails if the page loads or runs anything but images of some kinds inside."""
        allowed = (*(f"data:{kind};base64," for kind in kinds), "#")
        assert all(url.startswith(allowed) for url in self.urls())
        assert "<script" not in self.source.lower()
        forbidden = {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not forbidden & {tag for tag, _ in self.tags}
        for tag, attributes in self.tags:
            assert not [name for name in attributes if name.startswith("on")], tag
        (policy,) = [m["content"] for m in self.all("meta") if "http-equiv" in m]
        assert policy.startswith("default-src 'none'")
