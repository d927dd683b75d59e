"""Look up the posts of a release again: ids in, pages of the X API out. Python 3.11 and its standard library alone.

    export X_BEARER_TOKEN=...
    python rehydrate.py data/images-*.csv --out posts

Pages are files `page-*.json` in the folder; posts that the platform no longer gives are in `gone.csv`, with its reason.
Started again, it goes on where it was. X bills each post that it gives: the price is printed first, and --max-posts
sets a limit.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from pathlib import Path

API = "https://api.x.com"
BATCH = 100  # ids of one request, the most that the API takes
ASKED = {
    "tweet.fields": "id,text,created_at,author_id,lang,possibly_sensitive,source,public_metrics,attachments,entities",
    "expansions": "author_id,attachments.media_keys",
    "user.fields": "id,public_metrics",
    "media.fields": "media_key,type,url,width,height,alt_text",
}
DOLLARS_A_POST = 0.005  # X's price in 2026
ATTEMPTS = 8
LONGEST_WAIT = 960.0  # seconds; the API's windows are of 15 minutes


class RehydrationError(Exception):
    """What the user must mend."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, which would carry the token to another host."""

    def redirect_request(self, *answer: object) -> None:
        """Return no request, so that the status is an error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="CSV files with a column id")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the pages")
    parser.add_argument("--max-posts", type=_positive, help="look up so many posts at most")
    parser.add_argument("--api", default=API, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        rehydrate(options.files, options.out, os.environ.get("X_BEARER_TOKEN", ""), options.max_posts, options.api)
    except RehydrationError as error:
        print(f"rehydrate: {error}", file=sys.stderr)
        return 2
    return 0


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more. Got {text!r}.")
    return int(text)


def rehydrate(files: Sequence[Path], out: Path, token: str, max_posts: int | None = None, api: str = API) -> None:
    """Look up the posts that are not in the folder yet.

    Raises:
        RehydrationError: without a token or ids, or where the platform refuses.
    """
    if not token.strip():
        raise RehydrationError("X_BEARER_TOKEN must hold a bearer token of the X API. Got none.")
    wanted = list(dict.fromkeys(read_ids(files)))
    out.mkdir(parents=True, exist_ok=True)
    known = already_looked_up(out)
    left = [name for name in wanted if name not in known][:max_posts]
    print(f"{len(wanted):,} posts, {len(known):,} looked up before, {len(left):,} now: "
          f"${len(left) * DOLLARS_A_POST:,.2f} at most")  # fmt: skip
    for start in range(0, len(left), BATCH):
        batch = left[start : start + BATCH]
        page = ask(api, batch, token)
        write_page(out, batch, page)
        print(f"{min(start + BATCH, len(left)):,} of {len(left):,}", flush=True)
    print(f"{write_gone(out):,} posts are gone: {out / 'gone.csv'}")


def read_ids(files: Sequence[Path]) -> Iterator[str]:
    """Yield the ids in the files.

    Raises:
        RehydrationError: a file has none, or they are no whole numbers.
    """
    for file in files:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if "id" not in (rows.fieldnames or ()):
                raise RehydrationError(f"{file} must have a column id. Got {rows.fieldnames}.")
            for row in rows:
                if not (row["id"] or "").isdigit():
                    raise RehydrationError(f"ids in {file} must be whole numbers, as text. Got {row['id']!r}.")
                yield row["id"]


def already_looked_up(out: Path) -> set[str]:
    """Return the ids that the pages in a folder were asked for; a page that is cut off counts as none."""
    known: set[str] = set()
    for file in out.glob("page-*.json"):
        try:
            known.update(json.loads(file.read_text(encoding="utf-8"))["asked"])
        except (ValueError, KeyError):
            file.unlink()
    return known


def ask(api: str, ids: Sequence[str], token: str) -> dict[str, object]:
    """Return the page of some posts, after as many attempts as it takes.

    Raises:
        RehydrationError: the platform refuses, or does not answer.
    """
    query = urllib.parse.urlencode({"ids": ",".join(ids), **ASKED})
    request = urllib.request.Request(f"{api}/2/tweets?{query}", headers={"Authorization": f"Bearer {token}"})
    opener, last = urllib.request.build_opener(_NoRedirect), ""
    for attempt in range(ATTEMPTS):
        try:
            with opener.open(request, timeout=60) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            last = f"status {error.code}"
            if error.code in (401, 403):
                raise RehydrationError(
                    f"the platform must accept the token for reading posts. Got {last}: check X_BEARER_TOKEN and its "
                    "plan."
                ) from None
            if error.code != 429 and error.code < 500:
                raise RehydrationError(f"the platform must take the request. Got {last}.") from None
            time.sleep(wait_of(error.headers, attempt, time.time()))
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            last = str(error)
            time.sleep(wait_of({}, attempt, time.time()))
    raise RehydrationError(f"the platform must answer. Got {last} in {ATTEMPTS} attempts; start it again later.")


def wait_of(headers: Mapping[str, str] | Message, attempt: int, now: float) -> float:
    """Return the seconds to wait before the next attempt: until the window ends, or twice as long each time."""
    reset = headers.get("x-rate-limit-reset") or ""
    if reset.isdigit():
        return min(max(float(reset) - now, 0.0) + 1.0, LONGEST_WAIT)
    return min(2.0**attempt, LONGEST_WAIT)


def write_page(out: Path, ids: Sequence[str], page: Mapping[str, object]) -> None:
    """Write a page with the ids that it answers; it is there whole or not at all."""
    file = out / f"page-{ids[0]}.json"
    part = file.with_suffix(".part")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    content = {**page, "data": page.get("data") or [], "asked": list(ids), "collected_at": now}
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(file)


def write_gone(out: Path) -> int:
    """Return how many posts were not given; they are written to gone.csv with the platform's reason."""
    rows = []
    for file in sorted(out.glob("page-*.json")):
        page = json.loads(file.read_text(encoding="utf-8"))
        there = {post["id"] for post in page["data"]}
        reasons = {str(error.get("resource_id") or error.get("value")): error.get("title", "")
                   for error in page.get("errors") or []}  # fmt: skip
        rows += [(name, _as_text(reasons.get(name, "not given"))) for name in page["asked"] if name not in there]
    with (out / "gone.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows([("id", "reason"), *rows])
    return len(rows)


def _as_text(reason: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{reason}" if reason.startswith(("=", "+", "-", "@", "\t", "\r")) else reason


if __name__ == "__main__":
    sys.exit(main())
