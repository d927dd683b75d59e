"""Runtimes that the pinned packages are made for, and until when their vendor supports them."""

from __future__ import annotations

import datetime

# As far as could be found in public pages and code on this day; a runtime that is not listed has not been looked at.
LISTED = datetime.date(2026, 11, 30)

# Spark 3.5 and Python 3.12. The date is the end of long-term support.
DATABRICKS = {"16.4": datetime.date(2028, 5, 9)}
# Spark 3.5, Python 3.11 and Delta 3.3. Amazon supports a release for two years and names no day.
EMR = ("emr-7.12.0", "emr-7.13.0", "emr-7.14.0")
