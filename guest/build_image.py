#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the sandbox image from a fetched package set: build_image.py SET OUT -> OUT/sandbox.erofs, OUT/manifest.json

The same set gives the same bytes: nothing here looks at the clock, the network, or anything of the machine but its
C compiler, tar, dpkg-deb and mkfs.erofs. Traps that are worth knowing:
- mkfs.erofs -T0 sets every mtime to 0, so .pyc files must not be checked against it (unchecked-hash);
- without noinline_data, exec of a small file in gVisor fails with EFAULT;
- compiled Python depends on the hash seed and on the order of work: one process, seed 0.
"""
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.realpath(__file__))
IMAGE_UUID = "5a11a907-0000-4000-8000-000000000001"
DIST_PACKAGES = "usr/local/lib/python3.11/dist-packages"
RUNNERS = "usr/lib/sallyport"

# Pulled in as dependencies of maintainer scripts, which never run here.
LEFT_OUT = {"debconf", "dpkg", "perl-base", "libdebconfclient0", "node-busboy", "debianutils"}

# Nothing in a sandbox needs these.
DROP = ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug",
        "usr/share/doc-base", "usr/share/python3/runtime.d", "usr/share/menu", "usr/share/applications",
        "usr/share/pixmaps", "usr/share/zsh", "usr/share/bash-completion", "var/cache", "var/lib/dpkg", "var/lib/apt",
        "var/log", "var/lib/misc", "etc/apt", "etc/dpkg", "etc/cron.daily", "etc/init.d", "etc/kernel", "etc/systemd"]

# Directories of tests inside Python packages, but not modules that are imported at run time.
TESTS = re.compile(r"/(tests?|idle_test|sphinxext)$")
KEEP_TESTS = {"numpy/_core/tests", "numpy/testing", "pandas/_testing"}


def run(*argv, **kwargs):
    subprocess.run(argv, check=True, **kwargs)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def deb_fields(path):
    text = subprocess.run(["dpkg-deb", "-f", path, "Package", "Version", "Architecture"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return dict(line.split(": ", 1) for line in text.splitlines())


def unpack_debs(debs, tree):
    """Merged /usr first: tar then follows the links instead of replacing them."""
    for name in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(f"{tree}/usr/{name}")
        os.symlink(f"usr/{name}", f"{tree}/{name}")
    listed = []
    for name in sorted(os.listdir(debs)):
        path = f"{debs}/{name}"
        fields = deb_fields(path)
        if fields["Package"] in LEFT_OUT:
            continue
        data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE)
        run("tar", "-xpf", "-", "-C", tree, "--keep-directory-symlink", "--numeric-owner", stdin=data.stdout)
        if data.wait() != 0:
            raise SystemExit(f"build_image: {name}: cannot be unpacked")
        listed.append({"name": fields["Package"], "version": fields["Version"],
                       "architecture": fields["Architecture"], "sha256": sha256_of(path)})
    return listed


def locked_hashes():
    with open(f"{HERE}/requirements.lock") as f:
        return set(re.findall(r"--hash=sha256:([0-9a-f]{64})", f.read()))


def unpack_wheels(wheels, tree):
    """A wheel's own tree only: scripts and data of wheels are of no use in a sandbox."""
    listed, locked = [], locked_hashes()
    for name in sorted(os.listdir(wheels)):
        path = f"{wheels}/{name}"
        digest = sha256_of(path)
        if digest not in locked:
            raise SystemExit(f"build_image: {name}: not in requirements.lock")
        with zipfile.ZipFile(path) as wheel:
            for member in wheel.infolist():
                if ".data/" not in member.filename:
                    wheel.extract(member, f"{tree}/{DIST_PACKAGES}")
        listed.append({"name": name.split("-")[0], "version": name.split("-")[1], "sha256": digest})
    if len(listed) != len(locked):
        raise SystemExit("build_image: wheels and requirements.lock differ")
    return listed


def finish_system(tree):
    """What maintainer scripts would have done, as far as a sandbox needs it."""
    for name in ("passwd", "group"):
        shutil.copyfile(f"{tree}/usr/share/base-passwd/{name}.master", f"{tree}/etc/{name}")
        os.chmod(f"{tree}/etc/{name}", 0o644)
    for link, target in (("usr/bin/awk", "gawk"), ("usr/bin/sh", "dash"), ("etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
                         ("usr/bin/python", "python3")):
        if not os.path.lexists(f"{tree}/{link}"):
            os.symlink(target, f"{tree}/{link}")
    for name, text in (("hostname", "sandbox\n"), ("hosts", "127.0.0.1 localhost\n::1 localhost\n"), ("resolv.conf", "")):
        with open(f"{tree}/etc/{name}", "w") as f:
            f.write(text)
    for name in ("proc", "dev", "tmp", "sys", "run"):
        os.makedirs(f"{tree}/{name}", exist_ok=True)
    run("ldconfig", "-r", tree)


def drop_unneeded(tree):
    for path in DROP:
        shutil.rmtree(f"{tree}/{path}", ignore_errors=True)
    for base in (f"{tree}/usr/lib/python3.11", f"{tree}/{DIST_PACKAGES}"):
        for folder, names, _ in os.walk(base):
            for name in list(names):
                path = f"{folder}/{name}"
                if TESTS.search(path) and path[len(base) + 1:] not in KEEP_TESTS:
                    shutil.rmtree(path)
                    names.remove(name)
    for name in ("var/cache", "var/log", "var/lib/misc", "var/lib"):
        os.makedirs(f"{tree}/{name}", exist_ok=True)


def install_runners(tree):
    folder = f"{tree}/{RUNNERS}"
    os.makedirs(folder)
    for name in ("runner.py", "runner.js"):
        shutil.copyfile(f"{HERE}/{name}", f"{folder}/{name}")
    shutil.copyfile(f"{HERE}/sallyport_backend.py", f"{tree}/{DIST_PACKAGES}/sallyport_backend.py")
    run("cc", "-std=gnu17", "-Os", "-s", "-static", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none",
        "-o", f"{folder}/runner-sh", "runner_sh.c", cwd=HERE)
    os.chmod(f"{folder}/runner-sh", 0o755)


def sort_font_list(tree):
    """matplotlib writes its font cache in the order in which a set gave the files."""
    folder = f"{tree}/{RUNNERS}/matplotlib"
    for name in os.listdir(folder):
        if not name.startswith("fontlist-"):
            os.unlink(f"{folder}/{name}")
            continue
        with open(f"{folder}/{name}") as f:
            fonts = json.load(f)
        for key in ("afmlist", "ttflist"):
            fonts[key].sort(key=lambda font: font["fname"])
        with open(f"{folder}/{name}", "w") as f:
            json.dump(fonts, f, sort_keys=True)


def drop_compiled(tree):
    for folder, names, _ in os.walk(tree):
        if "__pycache__" in names:
            shutil.rmtree(f"{folder}/__pycache__")
            names.remove("__pycache__")


def compile_python(tree):
    """By the image's own Python, so that the paths in tracebacks are those of the sandbox."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "HOME": "/tmp", "LANG": "C.UTF-8",
           "MPLCONFIGDIR": f"/{RUNNERS}/matplotlib", "MPLBACKEND": "agg", "SOURCE_DATE_EPOCH": "0"}
    run("/usr/sbin/chroot", tree, "/usr/bin/python3", "-I", "-c", "import matplotlib.font_manager", env=env,
        stdin=subprocess.DEVNULL)
    sort_font_list(tree)
    drop_compiled(tree)
    run("/usr/sbin/chroot", tree, "/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
        "/usr/lib/python3.11", "/usr/lib/python3", f"/{DIST_PACKAGES}", env=env, stdin=subprocess.DEVNULL)


def set_modes(tree):
    """No setuid, setgid or group-writable bit anywhere; everything is root's (mkfs) and readable."""
    for folder, names, files in os.walk(tree):
        for name in names + files:
            path = f"{folder}/{name}"
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                continue
            wanted = 0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644
            os.chmod(path, wanted)
    os.chmod(f"{tree}/tmp", 0o1777)


def refuse_leftovers(tree):
    for folder, _, files in os.walk(tree):
        for name in files:
            mode = os.lstat(f"{folder}/{name}").st_mode
            if mode & 0o6000 and not stat.S_ISLNK(mode):
                raise SystemExit(f"build_image: {folder}/{name}: setuid bit")
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise SystemExit(f"build_image: {folder}/{name}: neither file nor link")


def main():
    package_set, out = map(os.path.realpath, sys.argv[1:])
    os.umask(0o022)
    with tempfile.TemporaryDirectory(dir=out) as work:
        os.chmod(work, 0o755)
        tree = f"{work}/tree"
        os.mkdir(tree)
        debian = unpack_debs(f"{package_set}/debs", tree)
        pypi = unpack_wheels(f"{package_set}/wheels", tree)
        install_runners(tree)
        drop_unneeded(tree)
        finish_system(tree)
        shutil.rmtree(f"{tree}/var/cache/ldconfig", ignore_errors=True)
        compile_python(tree)
        set_modes(tree)
        refuse_leftovers(tree)
        image = f"{out}/sandbox.erofs"
        run("mkfs.erofs", "--quiet", "-E", "noinline_data", "-T0", "--all-root", "-U", IMAGE_UUID, image, tree)
    runners = {name: sha256_of(f"{HERE}/{name}") for name in ("runner.py", "runner.js", "runner_sh.c", "kinds.json")}
    manifest = {"image": {"sha256": sha256_of(image), "bytes": os.path.getsize(image)},
                "debian": debian, "pypi": pypi, "runners": runners}
    with open(f"{out}/manifest.json", "w") as f:
        json.dump(manifest, f, indent=1, sort_keys=True)
        f.write("\n")
    shutil.copyfile(f"{HERE}/kinds.json", f"{out}/kinds.json")


main()
