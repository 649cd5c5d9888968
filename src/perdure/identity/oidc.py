"""Users' tokens: who they are for, checked against the provider that made them, before a run acts on their behalf.

    token ─► read strictly ─► issuer ─► key ─► signature ─► typ, aud, azp, exp, nbf, iat ─► name, grants, tenant

A token that is refused is refused for one reason, which says what is wrong and shows nothing of the token.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pydantic_core
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ..core.clock import Clock, SystemClock
from ..core.errors import ConfigError, PrincipalRefused
from ..core.identity_settings import IdentitySettings, TrustedIssuer
from ..core.ids import check_id
from ..core.principal import Principal, check_grants
from .digests import content_digest
from .fetching import FetchedKeys
from .signatures import SignedText
from .verification import KeySource, StaticKeys

__all__ = ["Users", "keys_of_file"]

MOST_BYTES = 16_384
"""Of a token."""
SKEW_SECONDS = 60
"""How far the issuer's clock may be ahead of ours. A token's end counts to the second."""
LEAST_RSA_BITS = 2048
MOST_GRANTS = 200


class Users:
    """Those whom the trusted issuers vouch for. Thread-safe; `verify` may block for a fetch of keys."""

    def __init__(
        self,
        issuers: Mapping[str, TrustedIssuer],
        *,
        tenant: str,
        keys: KeySource | None = None,
        fetch: Callable[[str], Mapping[str, Any]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`tenant`: of the users of an issuer that says no other. Raises `ConfigError`."""
        self._named = dict(issuers)
        self._issuers = {issuer.url: issuer for issuer in issuers.values()}
        self._tenant = tenant
        self._clock = clock or SystemClock()
        self._files: dict[str, StaticKeys] = {}
        sources: dict[str, str | None] = {}
        for issuer in issuers.values():
            if issuer.jwks is not None and "://" not in issuer.jwks:
                self._files[issuer.url] = keys_of_file(issuer.url, Path(issuer.jwks))
            else:
                sources[issuer.url] = issuer.jwks
        self._keys: KeySource = keys or FetchedKeys(sources, fetch=fetch)

    @classmethod
    def open(cls, settings: IdentitySettings, *, tenant: str, clock: Clock | None = None) -> Users:
        """As the tables `[identity.issuers.NAME]` say. Raises `ConfigError`."""
        return cls(settings.issuers, tenant=tenant, clock=clock)

    def name_of(self, url: str | None) -> str | None:
        """What the settings call an issuer; None: it is none of these."""
        return next((name for name, issuer in self._named.items() if issuer.url == url), None)

    def verify(self, token: str, *, proven: Callable[[str], None] | None = None) -> Principal:
        """For whom a token speaks. Raises `PrincipalRefused`.

        `proven` raises where the sender has not shown the key of a thumbprint: with it only tokens count that are bound
        to one, and without it only those that are not.
        """
        if len(token) > MOST_BYTES:
            raise PrincipalRefused(f"the token is longer than {MOST_BYTES} bytes")
        try:
            text = SignedText.read(token.strip())
            told: Any = pydantic_core.from_json(text.payload)
        except ValueError:
            raise PrincipalRefused("the token cannot be read: it is no signed JWT") from None
        if not isinstance(told, dict):
            raise PrincipalRefused("the token cannot be read: its claims are no object")
        claims = cast("dict[str, Any]", told)
        issuer = self._issuers.get(str(claims.get("iss")))
        if issuer is None:
            known = ", ".join(f"`{url}`" for url in self._issuers) or "none"
            raise PrincipalRefused(
                f"the token is of `{str(claims.get('iss'))[:200]}`, which is not trusted here (trusted: {known}); add "
                "it as a table [identity.issuers.NAME]"
            )
        self._signed(text, token.strip(), issuer)
        self._meant_for_us(claims, issuer)
        _held(claims, proven)
        self._in_time(claims, issuer)
        return self._principal(claims, issuer)

    # signature --------------------------------------------------------------------------------------------------

    def _signed(self, text: SignedText, token: str, issuer: TrustedIssuer) -> None:
        header = text.header
        algorithm, type_, kid = header.get("alg"), header.get("typ", ""), header.get("kid")
        if algorithm not in issuer.algorithms:
            raise PrincipalRefused(
                f"the token is signed by `{str(algorithm)[:20]}`; of `{issuer.url}` are taken: "
                f"{', '.join(issuer.algorithms)}"
            )
        if str(type_).lower().removeprefix("application/") not in {t.lower() for t in issuer.types}:
            raise PrincipalRefused(f"the token is a `{str(type_)[:40]}`, which is not for signing in")
        if "crit" in header or "b64" in header or "jwk" in header or "jku" in header or "x5u" in header:
            raise PrincipalRefused("the token brings its own key, or asks for what is not understood here")
        key = self._key(issuer, kid) if isinstance(kid, str) else None
        if key is None or not isinstance(kid, str):
            raise PrincipalRefused(
                f"the token's key `{str(kid)[:80]}` is not among those that `{issuer.url}` publishes (or they could "
                "not be fetched; the log says so)"
            )
        if not _fits(key, algorithm):
            raise PrincipalRefused(f"the token's key `{kid[:80]}` is not one for `{algorithm}` signatures")
        if not _good(text, token, key, algorithm):
            raise PrincipalRefused("the token's signature is wrong")

    def _key(self, issuer: TrustedIssuer, kid: str) -> Any | None:
        held = self._files.get(issuer.url)
        return (held or self._keys).find(issuer.url, kid)

    # claims -----------------------------------------------------------------------------------------------------

    def _meant_for_us(self, claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
        audience = _texts(claims.get("aud"))
        if not set(audience) & set(issuer.audience):
            raise PrincipalRefused(
                f"the token is for `{', '.join(audience)[:200] or 'nobody'}`, and this is "
                f"{' or '.join(f'`{a}`' for a in issuer.audience)}"
            )
        asked_for_by = claims.get("azp", claims.get("client_id"))
        known = issuer.clients or (issuer.audience if len(audience) > 1 else ())
        if known and asked_for_by not in known:
            raise PrincipalRefused(
                f"the token was given to `{str(asked_for_by)[:200]}`, which may not hand it on to here; `clients` of "
                f"`{issuer.url}` says who may"
            )

    def _in_time(self, claims: Mapping[str, Any], issuer: TrustedIssuer) -> None:
        now = self._clock.micros() / 1e6
        expires, issued = _seconds(claims.get("exp")), _seconds(claims.get("iat"))
        if expires is None or issued is None:
            raise PrincipalRefused("the token does not say when it was made, and when it ends")
        if now >= expires:
            raise PrincipalRefused("the token has expired: sign in again")
        if expires - issued > issuer.longest.total_seconds():
            raise PrincipalRefused(
                f"the token is good for longer than {issuer.longest}; `longest` of `{issuer.url}` says what is taken"
            )
        begins = _seconds(claims.get("nbf", issued))
        if begins is None or max(issued, begins) > now + SKEW_SECONDS:
            raise PrincipalRefused("the token is not valid yet: look at the clocks of both machines")

    def _principal(self, claims: Mapping[str, Any], issuer: TrustedIssuer) -> Principal:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise PrincipalRefused("the token does not say whom it is for (`sub`)")
        named = claims.get(issuer.name)
        if issuer.name == "email" and claims.get("email_verified") is not True:
            raise PrincipalRefused("the token's `email` was not verified by its issuer, so it names nobody")
        last = issuer.grants_last
        now = self._clock.micros()
        expires = _seconds(claims["exp"])
        unique = claims.get("jti")
        assert expires is not None
        try:
            return Principal(
                subject=_name(issuer, named),
                issuer=issuer.url,
                grants=check_grants(_granted(claims, issuer.grants), what="the token"),
                tenant=self._tenant_of(claims, issuer),
                known_as=subject[:300] if subject != named else None,
                expires_at=int(expires * 1e6),
                grants_until=None if last is None else now + int(last.total_seconds() * 1e6),
                token=content_digest(f"{issuer.url}\0{unique}".encode()) if isinstance(unique, str) else None,
            )
        except ConfigError as error:
            raise PrincipalRefused(str(error)) from None

    def _tenant_of(self, claims: Mapping[str, Any], issuer: TrustedIssuer) -> str:
        if issuer.tenant_claim is None:
            return issuer.tenant or self._tenant
        said = _below(claims, issuer.tenant_claim)
        if not isinstance(said, str):
            raise PrincipalRefused(f"the token does not say of which tenant it is (`{issuer.tenant_claim}`)")
        return check_id(said, what="a tenant")


def _held(claims: Mapping[str, Any], proven: Callable[[str], None] | None) -> None:
    """Raise where the token is bound to a key that nobody has shown, or where one was shown for nothing."""
    match claims.get("cnf"):
        case None if "cnf" not in claims:
            if proven is not None:
                raise PrincipalRefused("the token is bound to no key, and one that is was to be shown")
        case {"jkt": str(thumbprint)} if proven is not None:
            proven(thumbprint)
        case _:
            raise PrincipalRefused(
                "the token is bound to a key, and says nothing without a proof of that key"
            )


def keys_of_file(issuer: str, path: Path) -> StaticKeys:
    """The key set of an issuer, kept in a file. Raises `ConfigError`."""
    try:
        told: Any = pydantic_core.from_json(path.read_bytes())
        return StaticKeys({issuer: told})
    except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
        raise ConfigError(f"the keys of `{issuer}` cannot be read from `{path}`: {error}") from error


def _fits(key: Any, algorithm: str) -> bool:
    """Whether a key is of the kind that an algorithm is for, long enough, and there to sign."""
    try:
        key.check_use("sig")
        key.check_alg(algorithm)
        key.check_key_op("verify")
    except (JoseError, AssertionError):
        return False
    match algorithm:
        case "RS256" | "PS256":
            return isinstance(key, RSAKey) and key.public_key.key_size >= LEAST_RSA_BITS
        case "ES256":
            return isinstance(key, ECKey) and key.curve_name == "P-256"
        case _:  # EdDSA, and by its new name (RFC 9864) Ed25519
            return isinstance(key, OKPKey) and key.curve_name == "Ed25519"


def _good(text: SignedText, token: str, key: Any, algorithm: str) -> bool:
    try:
        if isinstance(
            key, OKPKey
        ):  # the library warns of its old name, `EdDSA`, which is what providers write
            cast("Ed25519PublicKey", key.public_key).verify(text.signature, text.signed)
            return True
        return jws.validate_compact(jws.extract_compact(token.encode()), key, algorithms=[algorithm])
    except (JoseError, InvalidSignature, ValueError, TypeError, KeyError):
        return False


def _name(issuer: TrustedIssuer, named: Any) -> str:
    """Under which name the subject is known here. No two of one issuer have the same, nor two of different prefixes."""
    if not isinstance(named, str) or not 1 <= len(named) <= 200:
        raise PrincipalRefused(f"the token has no name for its user in `{issuer.name}`, or too long a one")
    plain = unicodedata.normalize("NFC", named)
    if plain != named or any(unicodedata.category(c)[0] in "CZ" for c in named):
        raise PrincipalRefused(f"the token's `{issuer.name}` has spaces or characters that cannot be seen")
    place = f"{issuer.kind}:{issuer.prefix}:" if issuer.prefix else f"{issuer.kind}:"
    return place + "".join(quote(c, safe="") if c in "%:/" else c for c in named)


def _granted(claims: Mapping[str, Any], names: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    for name in names:
        said = _below(claims, name)
        found.update(said.split() if isinstance(said, str) else _texts(said))
    if len(found) > MOST_GRANTS:
        raise PrincipalRefused(f"the token lists {len(found)} grants; at most {MOST_GRANTS} are taken")
    return frozenset(found)


def _below(claims: Mapping[str, Any], name: str) -> Any:
    """A claim, also one below another: `realm_access.roles`. A claim that is called so itself goes first."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = cast("Mapping[str, Any]", found).get(part)
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [t for t in cast("list[Any]", value) if isinstance(t, str)] if isinstance(value, list) else []


def _seconds(value: Any) -> float | None:
    """A time of a token (RFC 7519, 2: NumericDate); None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
