"""Where webhooks may go: what is judged is the address, however it is spelled."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import InvalidRequest
from governance.webhook_address import checked_url, origin, refusal

PRIVATE = (
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.1.1", "127.0.0.1", "127.8.8.8", "100.64.0.1",
    "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "240.0.0.1", "::1", "fc00::1", "fd12::1",
    "2001:db8::1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1", "2001::1", "::7f00:1", "100::1", "5f00::1",
    "::ffff:10.0.0.1", "::ffff:127.0.0.1", "fec0::1",
)  # fmt: skip
NEVER = (
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.1.1", "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "224.0.0.1", "239.1.1.1", "255.255.255.255", "::", "fe80::1", "fe80::1%1", "febf::1", "ff02::1", "fd00:ec2::254",
    "fd20:ce::254", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
)  # fmt: skip
PUBLIC = (
    "8.8.8.8", "1.1.1.1", "172.32.0.1", "9.255.255.255", "11.0.0.0", "2606:4700::1111", "2a00:1450::1",
    "::ffff:8.8.8.8",
)  # fmt: skip
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize("text", PRIVATE)
def test_special_addresses_are_closed_unless_the_environment_opens_their_network(text: str) -> None:
    assert refusal(ip_address(text), ()) == "private"
    assert refusal(ip_address(text), EVERYWHERE) == ""


@pytest.mark.parametrize("text", NEVER)
def test_link_local_and_metadata_addresses_are_closed_whatever_is_opened(text: str) -> None:
    assert refusal(ip_address(text), ())
    assert refusal(ip_address(text), EVERYWHERE)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_open(text: str) -> None:
    assert refusal(ip_address(text), ()) == ""


def test_one_network_opens_no_other() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd12:3456::/32"))
    assert refusal(ip_address("10.1.2.3"), allowed) == ""
    assert refusal(ip_address("::ffff:10.1.2.3"), allowed) == ""
    assert refusal(ip_address("10.2.0.1"), allowed)
    assert refusal(ip_address("fd12:3456::1"), allowed) == ""
    assert refusal(ip_address("fd12:3457::1"), allowed)


@given(st.ip_addresses(v=4))
def test_no_address_that_python_calls_special_is_open_and_mapping_changes_nothing(address: IPv4Address) -> None:
    verdict = refusal(address, ())
    if not address.is_global or address.is_multicast:
        assert verdict
    assert refusal(IPv6Address(f"::ffff:{address}"), ()) == verdict


@given(st.ip_addresses(v=6))
def test_outside_global_unicast_all_of_ipv6_is_closed(address: IPv6Address) -> None:
    if address not in ip_network("2000::/3") and not address.ipv4_mapped:
        assert refusal(address, ())
    if address.is_private or address.is_link_local or address.is_multicast or address.is_loopback:
        assert refusal(address, ())


GOOD = (
    "https://hooks.example.com/a?b=c",
    "https://hooks.example.com:8443",
    "https://[2001:db8::1]/x",
    "https://8.8.8.8/",
)
BAD = (
    "", "hooks.example.com", "ftp://hooks.example.com/", "https://", "https:///path", "https://user@hooks.example.com/",
    "https://user:pw@hooks.example.com/", "https://hooks.example.com/#x", "https://hooks.example.com:99999/",
    "https://hooks.example.com:0/", "https://hooks.example.com:x/", "https://hooks.example.com/a b", "https://h\n.example/",
    "https://höks.example/", "https://hooks.example.com\\@evil.example/", "javascript:alert(1)", "file:///etc/passwd",
    "https://[::1/", "https://" + "a" * 2100,
)  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_an_absolute_https_url_is_good(url: str) -> None:
    assert checked_url(url, plain_allowed=False) == url


@pytest.mark.parametrize("url", BAD)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_url(url, plain_allowed=True)


def test_plain_http_needs_a_network_that_the_environment_opened() -> None:
    with pytest.raises(InvalidRequest):
        checked_url("http://10.0.0.1/", plain_allowed=False)
    assert checked_url("http://10.0.0.1/", plain_allowed=True)


def test_the_chain_is_told_no_path() -> None:
    assert origin("https://hooks.example.com:8443/services/T0/B0/token?x=y") == "https://hooks.example.com:8443"
