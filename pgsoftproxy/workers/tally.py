"""How many sessions each worker has, by what they are limited by: counts that all workers see and one may change.

A file in memory with a part for each worker, which writes there alone, and only while it holds the file's lock: so what
was looked at is true until what follows from it is written. The kernel takes the lock from a process that dies, and
the supervisor empties its part. Must not know what is counted.
"""

import fcntl
import os
from hashlib import blake2b
from struct import Struct

PART = 64 * 2**20
"""Room for the three million keys that a million sessions can have; what is not written to takes no memory."""
AT_ONCE = 4096
DIGEST = 16
_NUMBER = Struct("<I")
_ENTRY = DIGEST + _NUMBER.size


class Tally:
    """The counts of all workers, as the supervisor holds them."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("pgsoftproxy-tally")
        self._secret = os.urandom(DIGEST)  # nobody can choose names that fall together

    def part(self, slot: int, workers: int) -> "Part":
        """Return the counts as one of so many workers sees them."""
        return Part(self._fd, self._secret, slot, workers)

    def forget(self, slot: int) -> None:
        """Give back what a worker had that is no more."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            os.pwrite(self._fd, _NUMBER.pack(0), slot * PART)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)


class Part:
    """One worker's counts, and its view of the others'. To be entered before anything is looked at or noted.

    A part is the number of its entries, and these without gaps: the digest of a key, and its count, which is not 0.
    """

    def __init__(self, fd: int, secret: bytes, slot: int, workers: int) -> None:
        self._fd = fd
        self._secret = secret
        self._start = slot * PART
        self._others = [other * PART for other in range(workers) if other != slot]
        self._read: list[bytes] | None = None
        self._keys: list[bytes] = []
        self._places: dict[bytes, int] = {}

    def fileno(self) -> int:
        """Return the file that a worker must keep open."""
        return self._fd

    def __enter__(self) -> None:
        """Let no other worker count."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        self._read = None

    def __exit__(self, *_: object) -> None:
        """Let others count."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def count(self, key: str) -> int:
        """Return how many the other workers have under a key."""
        if self._read is None:
            self._read = [self._entries(start) for start in self._others]
        digest = self._digest(key)
        return sum(_count(entries, digest) for entries in self._read)

    def note(self, key: str, count: int) -> None:
        """Write how many there are here."""
        digest = self._digest(key)
        place = self._places.get(digest)
        if place is None:
            if count:
                self._keys.append(digest)
                self._write(len(self._keys) - 1, digest + _NUMBER.pack(count))
                self._write_size()
        elif count:
            self._write(place, digest + _NUMBER.pack(count))
        else:
            self._drop(place)

    def _drop(self, place: int) -> None:
        del self._places[self._keys[place]]
        last = self._keys.pop()
        if place < len(self._keys):
            self._keys[place] = last
            at = self._start + _NUMBER.size + len(self._keys) * _ENTRY
            self._write(place, os.pread(self._fd, _ENTRY, at))
        self._write_size()

    def _write(self, place: int, entry: bytes) -> None:
        self._places[entry[:DIGEST]] = place
        os.pwrite(self._fd, entry, self._start + _NUMBER.size + place * _ENTRY)

    def _write_size(self) -> None:
        os.pwrite(self._fd, _NUMBER.pack(len(self._keys)), self._start)

    def _entries(self, start: int) -> bytes:
        data = os.pread(self._fd, AT_ONCE, start)
        if len(data) < _NUMBER.size:
            return b""  # nobody has written there, or behind it, yet
        end = _NUMBER.size + _NUMBER.unpack_from(data)[0] * _ENTRY
        if len(data) < end:
            data += os.pread(self._fd, end - len(data), start + len(data))
        return data[_NUMBER.size : end]

    def _digest(self, key: str) -> bytes:
        return blake2b(key.encode(errors="replace"), digest_size=DIGEST, key=self._secret).digest()


def _count(entries: bytes, digest: bytes) -> int:
    at = entries.find(digest)
    while at >= 0 and at % _ENTRY:
        at = entries.find(digest, at + 1)
    return 0 if at < 0 else int(_NUMBER.unpack_from(entries, at + DIGEST)[0])
