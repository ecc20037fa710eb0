# SPDX-License-Identifier: Apache-2.0
"""A name server for a test, at an address of the loopback network: it answers what the test says at the
moment. `Dns.files(folder)` are a resolv.conf and a hosts file that lead to it."""

import ipaddress
import pathlib
import socket
import struct
import threading

ADDRESS = "127.77.53.1"
TYPES = {1: 4, 28: 6}
TTL_S = 1


class Dns:
    """`names`: {name: [address, …]}; `asked`: the names in order."""

    def __init__(self, names):
        self.names, self.asked = dict(names), []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((ADDRESS, 53))
        self.sock.settimeout(0.2)
        self.over = False
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()  # a socket that is waited on stays bound
        self.sock.close()

    def files(self, folder):
        resolv, hosts = pathlib.Path(folder) / "resolv.conf", pathlib.Path(folder) / "hosts"
        resolv.write_text(f"nameserver {ADDRESS}\noptions timeout:1 attempts:2\n")
        hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
        return resolv, hosts

    def _serve(self):
        while not self.over:
            try:
                data, peer = self.sock.recvfrom(1500)
            except TimeoutError:
                continue
            try:
                self.sock.sendto(self._answer(data), peer)
            except (OSError, ValueError, IndexError, struct.error):
                continue

    def _answer(self, data):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode("ascii"))
            at += 1 + data[at]
        kind, = struct.unpack_from("!H", data, at + 1)
        question = data[12:at + 5]
        name = ".".join(labels).lower()
        self.asked.append(name)
        found = [ipaddress.ip_address(a) for a in self.names.get(name, ())]
        found = [a for a in found if a.version == TYPES.get(kind)]
        code = 0 if name in self.names else 3
        out = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(found), 0, 0) + question
        for a in found:
            out += struct.pack("!HHHIH", 0xC00C, kind, 1, TTL_S, len(a.packed)) + a.packed
        return out
