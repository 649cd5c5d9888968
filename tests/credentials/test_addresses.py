"""S31, the part that needs no network: which hosts a list means, and which addresses nobody reaches."""

from __future__ import annotations

import ipaddress

import pytest

from perdure import ConfigError
from perdure.runtime.outbound.addresses import Host, network, reason_against


@pytest.mark.parametrize(
    ("entry", "covered", "not_covered"),
    [
        (
            "api.github.com",
            [("https", "api.github.com", 443)],
            [
                ("http", "api.github.com", 80),
                ("https", "api.github.com", 8443),
                ("https", "evil-api.github.com", 443),
                ("https", "api.github.com.evil.org", 443),
                ("https", "api.github.com.", 443),
            ],
        ),
        (
            "*.example.com:8443",
            [("https", "a.example.com", 8443), ("https", "a.b.example.com", 8443)],
            [
                ("https", "example.com", 8443),
                ("https", ".example.com", 8443),
                ("https", "badexample.com", 8443),
                ("https", "a.example.com", 443),
            ],
        ),
        (
            "http://127.0.0.1:8080",
            [("http", "127.0.0.1", 8080)],
            [("http", "127.0.0.1", 80), ("https", "127.0.0.1", 8080)],
        ),
        ("Bücher.example", [("https", "xn--bcher-kva.example", 443)], [("https", "bucher.example", 443)]),
    ],
)
def test_what_an_entry_of_the_list_covers(
    entry: str, covered: list[tuple[str, str, int]], not_covered: list[tuple[str, str, int]]
) -> None:
    host = Host.of(entry)
    assert [place for place in covered if not host.covers(*place)] == []
    assert [place for place in not_covered if host.covers(*place)] == []


@pytest.mark.parametrize(
    "entry",
    [
        *("", "*", "*.com", "a.*.com", "ftp://example.com", "https://u:p@example.com", "example.com/path"),
        *("a:b", "https://example.com?x=1", "https://example.com#x", "https://"),
    ],
)
def test_what_is_no_host(entry: str) -> None:
    with pytest.raises(ConfigError, match="is no host"):
        Host.of(entry)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("169.254.1.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1"),
        *("198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
        *("2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"),
        "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo, of 127.0.0.1
    ],
)
def test_s31_an_address_that_nobody_reaches(address: str) -> None:
    assert reason_against(ipaddress.ip_address(address)) != ""


@pytest.mark.parametrize("address", ["8.8.8.8", "140.82.121.6", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_a_public_address(address: str) -> None:
    assert reason_against(ipaddress.ip_address(address)) == ""


def test_networks_that_are_allowed() -> None:
    allowed = [network("10.0.0.0/8"), network("fd00::/8")]
    assert reason_against(ipaddress.ip_address("10.1.2.3"), allowed) == ""
    assert reason_against(ipaddress.ip_address("::ffff:10.1.2.3"), allowed) == ""
    assert reason_against(ipaddress.ip_address("fd00::1"), allowed) == ""
    assert reason_against(ipaddress.ip_address("127.0.0.1"), allowed) != ""
    with pytest.raises(ConfigError, match="is no network"):
        network("ten")
