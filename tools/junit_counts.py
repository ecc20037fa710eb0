# SPDX-License-Identifier: Apache-2.0
"""Prints "PASSED FAILED SKIPPED" of a pytest report in JUnit's format; an error in collection is a failure."""
import sys
import xml.etree.ElementTree as ElementTree

suite = ElementTree.parse(sys.argv[1]).getroot().find("testsuite")
total, failed, skipped = (int(suite.get(key)) for key in ("tests", "failures", "skipped"))
failed += int(suite.get("errors"))
if total == 0:
    sys.exit("no tests")
print(max(0, total - failed - skipped), failed, skipped)
