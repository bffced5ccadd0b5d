"""Write the contents of the images and the environment as a CycloneDX document: each package of a lock file.

The same lock file produces the same bytes.
"""

# ruff: noqa: INP001 -- a program of its own

import json
import re
import sys
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

LOCK = Path("requirements.lock")
FILE = Path("dist") / "sbom.cdx.json"
PACKAGE = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[Component]:
    """Return a component for each package of a lock file's text, with the hashes of its allowed files."""
    starts = [*PACKAGE.finditer(lock)]
    ends = [match.start() for match in starts[1:]] + [len(lock)]
    return [
        Component(
            name=match[1],
            version=match[2],
            type=ComponentType.LIBRARY,
            bom_ref=f"{match[1]}=={match[2]}",
            purl=PackageURL("pypi", None, match[1], match[2]),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in HASH.findall(lock[match.end() : end])],
        )
        for match, end in zip(starts, ends, strict=True)
    ]


def document(lock: str) -> str:
    """Return the document, without the time and the random number that would make each one different."""
    content = json.loads(JsonV1Dot6(Bom(components=components(lock))).output_as_string())
    del content["serialNumber"], content["metadata"]["timestamp"]
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(document(LOCK.read_text()))
    sys.stdout.write(f"sbom         {FILE}: the packages of {LOCK}\n")
