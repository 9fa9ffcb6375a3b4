"""Outbound HTTP over TLS: whose word counts, and what is said where it does not."""

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.contract.rude_server import Server, answer, running, send, unavailable
from tool_agentd.errors import TemporarilyUnavailableError
from tool_agentd.model import HttpRequest


def authority(common_name: str, directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context whose certificate for 127.0.0.1 is its own authority, and where."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context, directory / "cert.pem"


def test_a_certificate_that_is_not_trusted_names_its_issuer(tmp_path: Path) -> None:
    """No request is sent, and the person learns who stands between."""
    context, _ = authority("Corporate Inspection CA", tmp_path)
    server = Server(answer(b"hello"), tls=context)
    said = unavailable(server)
    assert "issued by CN=Corporate Inspection CA" in said
    assert "self-signed" in said
    assert server.requests == []


def test_the_systems_trust_store_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private authority that the system trusts is trusted here."""
    context, certificate = authority("Corporate CA", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert send(Server(answer(b"hello"), tls=context)).body == b"hello"


def test_tls_with_who_speaks_none_is_an_outage() -> None:
    """An https address at which something else listens."""

    async def story() -> None:
        server = Server(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        async with running(server) as web:
            url = f"https://127.0.0.1:{server.port}"
            with pytest.raises(TemporarilyUnavailableError, match=r"127\.0\.0\.1"):
                await web.send(HttpRequest("GET", url), allowed=[url], deadline=5)

    asyncio.run(story())
