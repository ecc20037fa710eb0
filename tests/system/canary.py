# SPDX-License-Identifier: Apache-2.0
"""A secret to look for, and the search: files, processes' memory, environments, arguments.

The value is two random halves. Each half is looked for by itself in every encoding, so what is cut at a
border, truncated or masked in part is found, too.
"""

import array
import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import secrets
import string
import subprocess
import urllib.parse
import zlib

HALF = 18
PIECE = 1 << 22
PAGE = os.sysconf("SC_PAGESIZE")
SKIPPED = ("[vvar]", "[vsyscall]")
LETTERS = string.ascii_letters + string.digits


def base64_forms(data):
    """What data looks like inside of longer data in base64: without the characters that depend on its
    neighbours, for each of the three places where it can begin."""
    for pad in range(3):
        text = base64.b64encode(b"\0" * pad + data)
        first = -(-pad * 8 // 6)
        last = (pad + len(data)) * 8 // 6
        yield text[first:last]


def encodings(data):
    """{name: bytes}"""
    text = data.decode()
    found = {"plain": data, "json": data.replace(b"/", b"\\/"), "hex": data.hex().encode(),
             "json-ascii": json.dumps(text)[1:-1].encode(),
             "HEX": data.hex().upper().encode(), "utf-16": text.encode("utf-16-le"),
             "utf-16-be": text.encode("utf-16-be"), "utf-32": text.encode("utf-32-le"),
             "reversed": data[::-1],
             "url": urllib.parse.quote(data, safe="").encode(),
             "url-all": b"".join(b"%%%02X" % c for c in data),
             "url-all-lower": b"".join(b"%%%02x" % c for c in data)}
    for i, form in enumerate(base64_forms(data)):
        found[f"base64+{i}"] = form
        found[f"base64url+{i}"] = form.replace(b"+", b"-").replace(b"/", b"_")
    return found


class Canary:
    def __init__(self):
        # Each half holds signs that URL encoding changes; a header may carry them all.
        self.halves = [self._half() for _ in range(2)]
        self.value = "sk-canary-" + "".join(self.halves)
        self.look_for((f"half {i}", half.encode()) for i, half in enumerate(self.halves))

    @staticmethod
    def _half():
        text = [secrets.choice(LETTERS) for _ in range(HALF)]
        for at, sign in ((5, "+"), (11, "/")):
            text[at] = sign
        return "".join(text)

    def look_for(self, needles):
        """needles: [(name, bytes)], in every encoding"""
        self.needles = {}
        for name, data in needles:
            for form, text in encodings(data).items():
                self.needles.setdefault(text, f"{form} of {name}")
        self.longest = max(map(len, self.needles))

    def forms_in(self, data):
        return [name for form, name in self.needles.items() if form in data]

    def in_file(self, path):
        found, tail = set(), b""
        with contextlib.suppress(OSError), open(path, "rb") as f:
            while piece := f.read(PIECE):
                found.update(self.forms_in(tail + piece))
                tail = piece[-self.longest:]
        return found

    def in_tree(self, top):
        """-> ["path: form"] of every file, name and link target below top"""
        out = []
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if self.forms_in(path.encode()):
                    out.append(f"{path}: its name")
                if os.path.islink(path) and self.forms_in(os.readlink(path).encode()):
                    out.append(f"{path}: its target")
                elif os.path.isfile(path) and not os.path.islink(path):
                    out += [f"{path}: {form}" for form in self.in_file(path)]
        return out

    def in_proc(self):
        """Environment, arguments and names of every process of the machine."""
        out = []
        for p in pathlib.Path("/proc").iterdir():
            if p.name.isdigit():
                for name in ("environ", "cmdline", "comm"):
                    with contextlib.suppress(OSError):
                        out += [f"{p / name}: {form}" for form in self.forms_in((p / name).read_bytes())]
        return out

    def in_memory(self, pid):
        """-> [Hit] in all that can be read of a process's memory, and in what it holds open of memory"""
        out, files = [], {}
        for fd in sorted(pathlib.Path(f"/proc/{pid}/fd").glob("*")):
            with contextlib.suppress(OSError):
                if os.readlink(fd).startswith("/memfd:"):
                    files.setdefault(fd.stat().st_ino, fd)
        for fd in files.values():
            with contextlib.suppress(OSError), open(fd, "rb", buffering=0) as f:
                out += [Hit(pid, Region(0, 0, str(fd), set(), 0), form) for form in self.forms_in(data_of(f))]
        with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "rb", buffering=0) as mem, \
                open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pages:
            for region in regions(pid):
                if region.inode not in files:
                    data = region.read(mem, pages)
                    out += [Hit(pid, region, form) for form in self.forms_in(data)]
        return out


MAGIC = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|\x28\xb5\x2f\xfd")
PACKED_MAX = 1 << 24


def unpacked(data):
    """What of data is packed by gzip, zlib or zstd, plain."""
    for at in MAGIC.finditer(data):
        part = data[at.start():]
        if at[0][0] == 0x28:
            out = subprocess.run(["zstd", "-dcq"], input=part[:PACKED_MAX], capture_output=True, timeout=60).stdout
        else:
            out = b""
            with contextlib.suppress(zlib.error):
                unpack = zlib.decompressobj(47)
                for low in range(0, min(len(part), PACKED_MAX), 64):
                    out += unpack.decompress(part[low:low + 64], PACKED_MAX)
        if out:
            yield out


class Plants(Canary):
    """Many values to look for, each with a name; also in what is packed."""

    def __init__(self, plants):
        self.look_for((name, text if isinstance(text, bytes) else text.encode()) for name, text in plants.items())

    def in_file(self, path):
        data = b""
        with contextlib.suppress(FileNotFoundError):  # what is replaced each second is gone now and then
            data = pathlib.Path(path).read_bytes()
        found = set(self.forms_in(data))
        for plain in unpacked(data):
            found.update(f"packed: {form}" for form in self.forms_in(plain))
        return found


@dataclasses.dataclass
class Region:
    low: int
    high: int
    name: str
    flags: set
    inode: int

    @property
    def locked(self):
        """Locked and left out of core dumps: as a secret's pages are."""
        return {"lo", "dd"} <= self.flags

    def read(self, mem, pages):
        """All that is there: a page that was never touched is left out, and its neighbours joined."""
        out = []
        for low, high in self.present(pages):
            for at in range(low, high, PIECE):
                with contextlib.suppress(OSError, OverflowError):
                    mem.seek(at)
                    out.append(mem.read(min(PIECE, high - at)))
        return b"".join(out)

    def present(self, pages):
        """[(low, high)] by proc(5), pagemap: present, or swapped out. Pages of memfd_secret are neither."""
        if "secretmem" in self.name:
            return [(self.low, self.high)]
        pages.seek(self.low // PAGE * 8)
        entries = array.array("Q", pages.read((self.high - self.low) // PAGE * 8))
        out = []
        for i, e in enumerate(entries):
            if e >> 62:
                at = self.low + i * PAGE
                if out and out[-1][1] == at:
                    out[-1] = (out[-1][0], at + PAGE)
                else:
                    out.append((at, at + PAGE))
        return out


@dataclasses.dataclass
class Hit:
    pid: int
    region: Region
    form: str

    def __str__(self):
        r = self.region
        return f"pid {self.pid} {r.low:x}-{r.high:x} {r.name or 'anonymous'} {sorted(r.flags)}: {self.form}"


def data_of(file):
    """What is in a sparse file."""
    out, at = [], 0
    with contextlib.suppress(OSError):  # ENXIO: nothing more
        while True:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            out.append(os.pread(file.fileno(), end - at, at))
            at = end
    return b"".join(out)


def regions(pid):
    """Of what is readable and has a page in memory."""
    out, head, rss = [], None, 0
    with contextlib.suppress(OSError):
        for line in open(f"/proc/{pid}/smaps"):
            at = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)", line)
            if at:
                head, rss = at, 0
            elif line.startswith(("Rss:", "Swap:")):
                rss += int(line.split()[1])
            elif line.startswith("VmFlags:") and head[3][0] == "r" and head[5] not in SKIPPED:
                flags = set(line.split()[1:])
                # Pages of memfd_secret do not count as resident.
                if rss or "secretmem" in head[5]:
                    out.append(Region(int(head[1], 16), int(head[2], 16), head[5].strip(), flags,
                                      int(head[4])))
    return out
