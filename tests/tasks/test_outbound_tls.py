"""TLS: the certificate must be the host's, whichever address the connection goes to."""

import socket
import threading
from pathlib import Path

import pytest

from tasks.errors import OutboundFailed
from tasks.outbound import Timeouts, resolver_for
from tests.tasks.outbound_servers import asked, call, certified, plain, raw
from tests.tasks.outbound_zone import names


def test_the_certificate_is_that_of_the_name_in_the_url(tmp_path: Path) -> None:
    pair = certified(tmp_path, "shop.test")
    seen: list[str | None] = []
    pair.server.sni_callback = lambda _connection, name, _context: seen.append(name)
    with raw(plain(b"safe"), tls=pair.server) as server, names({"shop.test": [["127.0.0.1"]]}) as zone:
        url = f"https://Shop.test.:{server.port}/"
        assert call(asked(url), tls=pair.client, resolver=resolver_for([zone.server])).body == b"safe"
    assert seen == ["shop.test"]
    assert server.got[0].headers["host"] == f"shop.test:{server.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_can_have_a_certificate(tmp_path: Path, host: str) -> None:
    pair = certified(tmp_path, host)
    with raw(plain(b"safe"), host=host, tls=pair.server) as server:
        assert call(asked(f"https://{server.place}/"), tls=pair.client).body == b"safe"


def test_the_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    pair = certified(tmp_path, "other.test")
    with raw(plain(), tls=pair.server) as server, names({"shop.test": [["127.0.0.1"]]}) as zone:
        with pytest.raises(OutboundFailed, match=r"certificate is not valid for 'shop\.test'") as caught:
            call(asked(f"https://shop.test:{server.port}/"), tls=pair.client, resolver=resolver_for([zone.server]))
        server.await_end()
    assert (caught.value.code, server.got) == ("tls_failed", [])


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    pair = certified(tmp_path, "127.0.0.1")
    with raw(plain(), tls=pair.server) as server:
        with pytest.raises(OutboundFailed) as caught:
            call(asked(f"https://{server.place}/"))
        server.await_end()
    assert (caught.value.code, server.got) == ("tls_failed", [])


def test_a_server_that_speaks_no_tls_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.test ESMTP\r\n")
                while connection.recv(1000):
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(OutboundFailed) as caught:
            call(asked(f"https://127.0.0.1:{listener.getsockname()[1]}/"))
        thread.join(10)
    assert caught.value.code == "tls_failed"


def test_a_handshake_that_does_not_end_is_bounded_by_the_connect_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(OutboundFailed, match="TLS handshake") as caught:
            call(asked(url, timeouts=Timeouts(connect=0.3, read=5, total=20)))
        connection, _ = listener.accept()
        with connection:  # the client has hung up: what it sent is followed by the end
            while connection.recv(1000):
                pass
    assert caught.value.code == "timed_out"
