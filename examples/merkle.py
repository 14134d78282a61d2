#!/usr/bin/env python3
"""Recomputes the Merkle root of a raw disk image, without any of our code.

    qemu-img convert -f qcow2 -O raw web-01-disk1.qcow2 disk.raw
    python3 merkle.py disk.raw        # compare with "root" in receipt.json

RFC 9162 section 2.1: SHA-256, leaf = H(0x00 || 64 KiB of disk), node =
H(0x01 || left || right), the left subtree as large a power of two as fits.
"""
import hashlib
import sys

LEAF = 64 << 10


def h(data):
    return hashlib.sha256(data).digest()


def root(path):
    stack = []  # (number of leaves, hash), ever smaller
    with open(path, "rb") as f:
        while leaf := f.read(LEAF):
            node = (1, h(b"\x00" + leaf))
            while stack and stack[-1][0] == node[0]:
                left = stack.pop()
                node = (2 * left[0], h(b"\x01" + left[1] + node[1]))
            stack.append(node)
    if not stack:
        return h(b"")
    digest = stack.pop()[1]
    while stack:
        digest = h(b"\x01" + stack.pop()[1] + digest)
    return digest


if __name__ == "__main__":
    print(root(sys.argv[1]).hex())
