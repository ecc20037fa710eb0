# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for the servers of a test."""

import ipaddress
import os
import pathlib
import subprocess
import tempfile
import time

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=30)


class Authority:
    def __init__(self, folder, name="Test CA"):
        self.dir = pathlib.Path(folder)
        self.ca, self.key = self.dir / "ca.pem", self.dir / "ca.key"
        openssl("req", "-x509", *KEY, "-keyout", self.key, "-out", self.ca, "-days", 2, "-subj",
                f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign")

    @classmethod
    def of(cls, ca, key):
        """One that is there already."""
        made = cls.__new__(cls)
        made.ca, made.key = ca, key
        return made

    def issue(self, folder, name, names, days=1, usage="serverAuth"):
        """-> certificate and key for DNS names and addresses; days < 0: one that has expired"""
        folder = pathlib.Path(folder)
        cert, key, request = (folder / f"{name}.{x}" for x in ("pem", "key", "csr"))
        extensions = folder / f"{name}.ext"
        sans = ",".join(("IP:" if is_address(n) else "URI:" if ":" in n else "DNS:") + n for n in names)
        extensions.write_text(f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                              f"extendedKeyUsage={usage}\nsubjectAltName={sans}\n"
                              "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        openssl("req", "-new", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", cert)
        key.chmod(0o600)
        return str(cert), str(key)

    def crl(self, out, revoked=(), seconds=3600, begin=0, more=0):
        """A list of those certificates, and as many others, put in its place at once; it counts between these seconds from now."""
        times = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + s)) for s in (begin, seconds)]
        with tempfile.TemporaryDirectory() as folder:
            d = pathlib.Path(folder)
            (d / "index").write_text("".join(f"R\t300101000000Z\t250101000000Z\t{1 << 150 | i:040X}\tunknown\t/CN={i}\n" for i in range(more)))
            (d / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={d}/index\ndefault_md=sha256\n")
            common = ("ca", "-config", d / "conf", "-cert", self.ca, "-keyfile", self.key)
            for cert in revoked:
                openssl(*common, "-revoke", cert)
            openssl(*common, "-gencrl", "-crl_lastupdate", times[0], "-crl_nextupdate", times[1], "-out", d / "list")
            fresh = pathlib.Path(f"{out}.new")
            fresh.write_bytes((d / "list").read_bytes())
            os.replace(fresh, out)


def is_address(name):
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def earlier_authority(inst):
    """Before its start: a CA, and a leaf's key that is another's, in the clear as versions before sealed keys had them;
    the leaf is issued anew. -> a copy of the CA's key"""
    copy = inst.top / "ca.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", copy,
            "-out", inst.dir / "ca.pem", "-days", 3650, "-subj", "/CN=CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name in ("ca.key", "tls/key.pem"):
        (inst.dir / name).write_bytes(copy.read_bytes())
    return copy
