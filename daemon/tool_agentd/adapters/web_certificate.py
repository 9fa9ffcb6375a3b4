"""The issuer of a certificate that was refused, so that the message can name it.

A company's own authority, a captive portal and an attacker look alike until somebody reads that
name. The connection made for it carries nothing: no request is sent on it.
"""

import asyncio
import ssl

from tool_agentd.oauth.wording import printable


async def issuer_of(host: str, port: int) -> str | None:
    """Return the issuer's name as the server at `host` presents it, unverified; None if unreadable.

    Raises OSError where there is no connection. The caller sets the deadline.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        tls = writer.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return _issuer(der) if der else None


def _issuer(der: bytes) -> str | None:
    from cryptography import x509  # noqa: PLC0415 - needed for a refused certificate alone

    try:
        return printable(x509.load_der_x509_certificate(der).issuer.rfc4514_string()) or None
    except ValueError:
        return None
