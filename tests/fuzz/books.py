"""Account for bytes: all that one side said went to the other, is still kept, or was left out for a reason named here.

Cuts frames by itself, as the peers do. Knows which frames a session may add, replace and leave out.
"""

from collections import deque

from pgsoftproxy.session.again import CARRIER
from pgsoftproxy.session.texts import REFUSAL_TEXT
from pgsoftproxy.session.uses import REFUSED_NAME

FLUSH = b"H\0\0\0\4"
REQUESTS = (80877103, 80877104)


def frames(data: bytes) -> deque[bytes]:
    """Cut typed frames; a half one comes as the last."""
    found: deque[bytes] = deque()
    at = 0
    while at < len(data):
        end = len(data)
        if at + 5 <= end:
            end = min(end, at + 1 + max(4, int.from_bytes(data[at + 1 : at + 5], "big")))
        found.append(data[at:end])
        at = end
    return found


def without_requests(data: bytes) -> bytes:
    """Drop the requests for encryption ahead of a startup packet, each once: the session answers them itself."""
    asked: set[int] = set()
    while len(data) >= 8 and int.from_bytes(data[4:8], "big") in REQUESTS:
        code, length = int.from_bytes(data[4:8], "big"), int.from_bytes(data[:4], "big")
        if code in asked:
            break
        asked.add(code)
        data = data[length:]
    return data


def after_declined_requests(sent: bytes) -> bytes:
    """Drop the bare letters by which a session declines encryption; no frame's length begins with more than 0."""
    while sent[:1] == b"N" and sent[1:2] != b"\0":
        sent = sent[1:]
    return sent


def client_rest(said: bytes, sent: bytes) -> bytes:
    """Return what of the client's bytes did not go to the server; AssertionError over what nobody said."""
    if not sent:
        return said
    said = without_requests(said)
    packet = int.from_bytes(sent[:4], "big")
    assert sent[:packet] == said[:packet], "the startup packet goes on as it came"
    left, out = frames(said[packet:]), frames(sent[packet:])
    while out:
        frame = out[0]
        given = left[0] if left else b""
        if frame == given:
            left.popleft()
        elif given.startswith(frame) and len(out) == 1:
            left[0] = given[len(frame) :]
        elif _stands_for(frame, given):
            left.popleft()
        elif frame != FLUSH and given[:1] == b"S":
            left.popleft()  # inside a COPY, where the server would ignore it
            continue
        elif given == FLUSH and not _added(frame):
            left.popleft()  # it was taken for one of the session's own, further ahead
            continue
        else:
            assert _added(frame), f"nobody said {frame[:80]!r}, but {given[:80]!r}"
        out.popleft()
    return b"".join(left)


def _stands_for(frame: bytes, given: bytes) -> bool:
    """Tell whether a frame carries the plan of a text that was given in a frame of the same kind."""
    kind = frame[:1]
    if kind == b"Q":
        return given[:1] in (b"Q", b"F")
    if kind == b"P" and given[:1] == b"P":
        return frame[5:].split(b"\0")[0] == given[5:].split(b"\0")[0][:63] or REFUSAL_TEXT not in frame
    return False


def _added(frame: bytes) -> bool:
    """Tell whether a frame may be the session's own: a Flush, or what prepares a statement again, or refuses one."""
    return (
        frame == FLUSH
        or frame[:1] == b"C"
        or (frame[:1] in (b"B", b"E") and frame[5:].startswith(CARRIER + b"\0"))
        or (frame[:1] == b"P" and (REFUSAL_TEXT not in frame or frame[5:].startswith(REFUSED_NAME + b"\0")))
    )


def server_rest(said: bytes, sent: bytes) -> bytes:
    """Return what of the server's bytes did not go to the client; AssertionError over what nobody said."""
    left, out = frames(said), frames(after_declined_requests(sent))
    while out:
        frame = out[0]
        given = left[0] if left else b""
        if frame == given:
            left.popleft()
        elif given.startswith(frame) and len(out) == 1:
            left[0] = given[len(frame) :]
        elif frame[:1] == given[:1] and frame[:1] in (b"E", b"C"):
            left.popleft()  # a refusal, a position mapped back, a command tag
        elif len(out) == 1 and b"\0VFATAL\0" in frame:
            pass  # the session's own last word
        elif given[:1] in (b"1", b"2", b"3", b"C"):
            left.popleft()  # the reply to what was prepared again under the hood
            continue
        else:
            raise AssertionError(f"nobody said {frame[:80]!r}, but {given[:80]!r}")
        out.popleft()
    return b"".join(left)
