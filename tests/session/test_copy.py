"""COPY in both protocols: data passes, and every Sync that is sent on is one that the server answers."""

from pgsoftproxy.errors import UpstreamLost
from pgsoftproxy.session.phase import Phase
from pgsoftproxy.session.session import Need
from pgsoftproxy.wire import backend, frontend
from tests.playbook import (
    BOUND,
    COPY_DONE,
    COPY_IN,
    COPY_OUT,
    FLUSH,
    PARSED,
    SYNC,
    TERMINATE,
    Client,
    Opening,
    Server,
    ToClient,
    Upstream,
    answer,
    ask,
    complete,
    drain,
    error,
    fatal,
    play,
    ready,
    rows,
)

INTO = b"COPY app.logs FROM STDIN"
DATA = frontend.message(frontend.COPY_DATA, b"1\n")
COPY_FAIL = frontend.message(frontend.COPY_FAIL, b"no more\0")
BAD_DATA = error(b"22P02", b"invalid input syntax")
EXTENDED = frontend.parse(b"", INTO) + frontend.bind(b"", b"") + frontend.execute(b"")
STARTED = PARSED + BOUND + COPY_IN
DONE = complete(b"COPY 2")


def test_copy_in_by_query_passes() -> None:
    session = play(
        Opening(),
        [
            Client(frontend.query(INTO)),
            Upstream(frontend.query(INTO)),
            Server(COPY_IN),
            ToClient(COPY_IN),
            Client(DATA, DATA, COPY_DONE),
            Upstream(DATA, DATA, COPY_DONE),
            Server(DONE, ready()),
            ToClient(DONE, ready()),
        ],
    )
    assert session.idle


def test_copy_out_of_a_protected_table_is_a_guarded_query() -> None:
    session = Opening()()
    sent = ask(session, frontend.query(b"COPY app.orders TO STDOUT"))
    assert b"WHERE" in sent and b"deleted_at IS NULL" in sent
    data = backend.message(backend.COPY_DATA, b"1\n") * 3 + backend.message(backend.COPY_DONE, b"")
    reply = COPY_OUT + data + complete(b"COPY 3") + ready()
    assert answer(session, reply) == reply


def test_copy_in_by_the_extended_protocol_as_libpq_sends_it() -> None:
    # The Sync that came with the Execute would be swallowed by the COPY; the one behind CopyDone is answered.
    session = play(
        Opening(),
        [
            Client(EXTENDED, SYNC),
            Upstream(EXTENDED, FLUSH),
            Server(STARTED),
            ToClient(STARTED),
            Client(DATA, DATA, COPY_DONE),
            Upstream(DATA, DATA, COPY_DONE),
            Client(SYNC),
            Upstream(FLUSH),
            Server(DONE),
            ToClient(DONE),
            Upstream(SYNC),
            Server(ready()),
            ToClient(ready()),
        ],
    )
    assert session.idle


def test_copy_in_sent_all_at_once_passes_in_the_same_order() -> None:
    session = play(
        Opening(),
        [
            Client(EXTENDED, SYNC, DATA, COPY_DONE, SYNC, frontend.query(b"SELECT 1")),
            Upstream(EXTENDED, FLUSH),
            Server(STARTED),
            ToClient(STARTED),
            Upstream(DATA, COPY_DONE, FLUSH),
            Server(DONE),
            ToClient(DONE),
            Upstream(SYNC, frontend.query(b"SELECT 1")),
            Server(ready(), rows(), ready()),
            ToClient(ready(), rows(), ready()),
        ],
    )
    assert session.idle


def test_copy_that_fails_before_its_data_is_answered_by_the_first_sync() -> None:
    missing = error(b"42P01")
    session = play(
        Opening(),
        [
            Client(EXTENDED, SYNC, DATA, COPY_DONE, SYNC),
            Upstream(EXTENDED, FLUSH),
            Server(missing),
            ToClient(missing),
            Upstream(SYNC, DATA, COPY_DONE, SYNC),
            Server(ready(), ready()),
            ToClient(ready(), ready()),
        ],
    )
    assert session.idle


def test_copy_that_fails_on_its_data_is_answered_by_the_sync_behind_it() -> None:
    session = play(
        Opening(),
        [
            Client(EXTENDED, SYNC),
            Upstream(EXTENDED, FLUSH),
            Server(STARTED),
            ToClient(STARTED),
            Client(DATA),
            Upstream(DATA),
            Server(BAD_DATA),
            ToClient(BAD_DATA),
            Client(DATA, COPY_DONE, SYNC),
            Upstream(DATA, COPY_DONE, SYNC),
            Server(ready()),
            ToClient(ready()),
        ],
    )
    assert session.idle


def test_copy_that_the_client_gives_up_fails() -> None:
    gave_up = error(b"57014", b"COPY from stdin failed: no more")
    session = Opening()()
    ask(session, frontend.query(INTO))
    answer(session, COPY_IN)
    assert ask(session, DATA, COPY_FAIL) == DATA + COPY_FAIL
    assert answer(session, gave_up, ready()) == gave_up + ready()
    assert session.idle


def test_two_copies_of_one_query_take_their_data_in_turn() -> None:
    text = frontend.query(b"COPY app.logs FROM STDIN; COPY app.logs FROM STDIN")
    session = Opening()()
    assert ask(session, text, DATA, COPY_DONE, DATA, COPY_DONE, SYNC) == text + (DATA + COPY_DONE) * 2 + FLUSH
    answer(session, COPY_IN, DONE, COPY_IN, DONE)
    assert drain(session) == (b"", b"")
    session.from_upstream(ready())
    assert drain(session) == (ready(), SYNC)


def test_sync_in_the_middle_of_a_copy_is_left_out_as_the_server_would() -> None:
    session = Opening()()
    ask(session, frontend.query(INTO))
    answer(session, COPY_IN)
    assert ask(session, DATA, SYNC, FLUSH, DATA, COPY_DONE) == DATA + FLUSH + DATA + COPY_DONE
    answer(session, DONE, ready())
    assert session.idle


def test_copy_data_outside_a_copy_is_ignored_by_the_server() -> None:
    session = Opening()()
    stray = DATA + COPY_DONE + COPY_FAIL
    assert ask(session, stray, frontend.query(b"SELECT 1")) == stray + frontend.query(b"SELECT 1")
    assert answer(session, rows(), ready()) == rows() + ready()


def test_another_statement_in_the_middle_of_a_copy_is_the_servers_to_end() -> None:
    session = Opening()()
    ask(session, frontend.query(INTO))
    answer(session, COPY_IN)
    assert b"deleted_at IS NULL" in ask(session, frontend.query(b"TABLE app.users"), SYNC)
    wrong = error(b"08P01", b"unexpected message type 0x51 during COPY from stdin")
    lost = error(b"08P01", b"terminating connection because protocol synchronization was lost", b"FATAL")
    assert answer(session, wrong, lost) == wrong + lost
    assert session.need is Need.CLOSE


def test_statement_that_follows_a_copy_which_failed_by_itself_is_answered() -> None:
    # A trigger refuses before the COPY has read anything; the client did not wait to hear of it.
    session = Opening()()
    ask(session, frontend.query(INTO))
    answer(session, COPY_IN)
    assert ask(session, frontend.query(b"SELECT 1"), SYNC) == frontend.query(b"SELECT 1") + SYNC
    failed = error(b"P0001")
    replies = failed + ready() + rows() + ready() + ready()
    assert answer(session, replies) == replies
    assert session.idle


def test_statement_sent_along_with_a_copy_waits_for_its_end() -> None:
    session = Opening()()
    copy, select = frontend.query(b"COPY app.logs TO STDOUT"), frontend.query(b"SELECT 1")
    assert ask(session, copy, select) == copy + FLUSH
    session.from_upstream(COPY_OUT + DONE)
    assert drain(session)[1] == b""
    session.from_upstream(ready())
    assert drain(session) == (ready(), select)


def test_copy_data_is_not_held_while_it_streams() -> None:
    session = Opening()()
    ask(session, frontend.query(INTO))
    answer(session, COPY_IN)
    head = b"d" + (100 << 20).to_bytes(4, "big")
    assert ask(session, head) == head
    for _ in range(5):
        assert len(ask(session, bytes(1 << 16))) == 1 << 16


def test_copy_that_was_sent_in_full_before_a_goodbye_is_answered() -> None:
    session = Opening()()
    ask(session, frontend.query(INTO), DATA, COPY_DONE, TERMINATE)
    assert answer(session, COPY_IN) == COPY_IN
    assert answer(session, DONE, ready()) == DONE + ready()
    assert session.need is Need.CLOSE


def test_copy_whose_end_never_comes_ends_as_the_server_says_that_sees_the_end_of_the_client() -> None:
    broken = error(b"08006", b"unexpected EOF on client connection with an open transaction")
    session = Opening()()
    ask(session, frontend.query(INTO), DATA)
    answer(session, COPY_IN)
    session.client_closed()
    assert drain(session) == (b"", b"")
    assert answer(session, broken) == broken
    session.fail(UpstreamLost("the server is gone"))
    assert drain(session) == (b"", b"")
    assert session.need is Need.CLOSE


def test_nothing_is_added_to_a_message_that_the_client_has_cut_short() -> None:
    session = Opening()()
    ask(session, frontend.query(INTO), frontend.message(frontend.COPY_DATA, bytes(20))[:-5])
    answer(session, COPY_IN)
    session.client_closed()
    assert drain(session) == (b"", b"")
    session.fail(UpstreamLost("the server is gone"))
    assert drain(session) == (b"", b"")


def test_bad_header_in_a_copy_is_told_once_the_reply_that_is_half_sent_is_whole() -> None:
    session = Opening()()
    ask(session, frontend.query(INTO), b"\0\0\0\0\0")
    assert answer(session, COPY_IN[:6]) == COPY_IN[:6]
    assert session.phase is Phase.READY
    assert answer(session, COPY_IN[6:]) == COPY_IN[6:] + fatal("08P01", "invalid frontend message type 0")
    assert session.need is Need.CLOSE


def test_client_that_ends_in_a_copy_gets_the_reply_that_is_half_sent() -> None:
    session = Opening()()
    ask(session, frontend.query(INTO))
    assert answer(session, COPY_IN[:6]) == COPY_IN[:6]
    session.client_closed()
    assert session.phase is Phase.READY
    assert answer(session, COPY_IN[6:]) == COPY_IN[6:]
    assert session.phase is Phase.READY
    session.fail(UpstreamLost("the server is gone"))
    assert drain(session) == (b"", b"")
