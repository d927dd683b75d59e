"""What mkdocs does beside its own when it builds docs/ into a site (`make docs`).

The pages are written for GitHub: links to files outside docs/ become their names, and the sample's report is taken in
where `make demo` has left one. No page may load anything from elsewhere: each says so to the browser, and the build
fails where one would.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

REPORT = Path(__file__).resolve().parents[1] / "build/demo/report.html"
REPORT_URI = "demo/report.html"
REPORT_BLOCK = re.compile(r"<!-- report: .*?<!-- end of report -->\n", re.DOTALL)
REPORT_LINK = f"[Open the report]({REPORT_URI}), as the last `make demo` left it.\n"

# A link to a file that is not in docs/, and to be read in the repository.
OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)#\s]+)(?:#[^)\s]*)?\)")
# In code within a table GitHub takes \| for |; Python-Markdown shows both.
CODE = re.compile(r"`[^`\n]+`")

POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'self' 'unsafe-inline' data: blob:; "
    "object-src 'none'; base-uri 'self'\">"
)
LOADED = {"src", "srcset", "poster", "data"}
REFERRED = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
STYLE = re.compile(r"""(?:url\(\s*|@import\s+(?:url\()?\s*)["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


def on_files(files, config):
    if REPORT.exists():
        files.append(File.generated(config, REPORT_URI, abs_src_path=str(REPORT)))
    return files


def on_page_markdown(markdown, page, config, files):
    if files.get_file_from_path(REPORT_URI):
        markdown = REPORT_BLOCK.sub(REPORT_LINK, markdown)
    lines = OUTSIDE.sub(name_file, markdown).splitlines(keepends=True)
    return "".join(CODE.sub(_bare_pipes, line) if line.startswith("|") else line for line in lines)


def on_post_page(output, page, config):
    return add_policy(output)


def on_post_template(output_content, template_name, config):
    return add_policy(output_content)


def on_post_build(config):
    site = Path(config.site_dir)
    found = [f"{path.relative_to(site)} loads {each}" for path in sorted(site.rglob("*")) for each in loaded(path)]
    if found:
        raise PluginError("the site must load nothing from elsewhere. Got " + "; ".join(found[:10]) + ".")


def name_file(link):
    """Return a link to a file of the repository as its text and its path."""
    text, path = link[1].strip("`"), link[2]
    return f"`{path}`" if path.endswith(text.rstrip("/")) else f"{link[1]} (`{path}`)"


def add_policy(html):
    """Return a page that tells the browser to load nothing from elsewhere."""
    return html.replace("<head>", f"<head>{POLICY}", 1)


def loaded(path):
    """Return the addresses elsewhere that a file of the site makes a browser load; of a script what its page allows."""
    if path.suffix == ".css":
        return STYLE.findall(path.read_text(encoding="utf-8"))
    if path.suffix == ".html":
        reader = _References()
        reader.feed(path.read_text(encoding="utf-8"))
        return reader.found
    return []


class _References(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.in_style = False

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.in_style = tag == "style"
        values = [value for name, value in attrs if name in LOADED]
        if tag == "link" and REFERRED & set((given.get("rel") or "").lower().split()):
            values.append(given.get("href"))
        if tag in ("use", "image"):
            values += [given.get("href"), given.get("xlink:href")]
        self.found += [value for value in values if value and ELSEWHERE.match(value.strip())]
        self.found += STYLE.findall(given.get("style") or "")

    def handle_data(self, data):
        if self.in_style:
            self.found += STYLE.findall(data)


def _bare_pipes(code):
    return code[0].replace("\\|", "|")
